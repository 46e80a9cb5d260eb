//! Stories of animals that run away and plants that do not grow.

use super::{Ending, Theme, Turning};

/// A pet runs away.
pub const PET: Theme = Theme {
    name: "pet",
    things: &["cat", "dog", "rabbit", "parrot", "hamster", "goat", "duck", "puppy", "kitten", "goose"],
    places: &["forest", "field", "lake", "farm", "river", "hill", "street", "playground"],
    spots: &["in a tree", "under a car", "behind a barn", "in a deep hole", "on a roof", "under a bush"],
    extras: &["bread", "cheese", "nuts", "apples", "seeds", "corn"],
    opening: [
        &[
            "{name} had {a look} {thing} as a pet.",
            "{name} and {his} {look} {thing} did everything together.",
            "{name} took care of {a look} {thing}.",
        ],
        &[
            "[One day|One afternoon|Yesterday] they went for a walk to the {place}.",
            "[On Saturday|In the morning] {he} played with the {thing} near the {place}.",
            "They often went to the {place} in the evening.",
        ],
        &[
            "A loud sound scared the {thing}, and it ran away.",
            "[Suddenly|Then] the {thing} was gone.",
            "When {he} turned around, {he} could not see the {thing} any more.",
        ],
    ],
    turnings: &[
        Turning {
            name: "found_hiding",
            texts: &[
                "{name} heard a noise and found the {thing} hiding {spot}.",
                "{He} called its name and saw the {thing} {spot}.",
                "After an hour {he} saw it sitting {spot}.",
            ],
            endings: &["safe", "fetched", "fetched"],
        },
        Turning {
            name: "lured",
            texts: &[
                "{He} put some {extra} on the ground, and the {thing} came out.",
                "The smell of {extra} brought the {thing} back.",
                "{name} waited with some {extra} until it came near.",
            ],
            endings: &["safe", "ate", "ate"],
        },
        Turning {
            name: "caught",
            texts: &[
                "A neighbor called {pal} caught the {thing}.",
                "{pal} saw it running and caught it with a net.",
                "At the {place}, {pal} was able to catch the {thing}.",
            ],
            endings: &["safe", "invited", "invited"],
        },
        Turning {
            name: "poster",
            texts: &[
                "{His} {helper} helped {him} draw a poster of the {thing}.",
                "{name} and {his} {helper} put up posters near the {place}.",
            ],
            endings: &["called", "poster_helper"],
        },
        Turning {
            name: "home_alone",
            texts: &[
                "{name} walked home alone, and the {thing} was waiting at the door.",
                "But the clever {thing} had gone home alone.",
            ],
            endings: &["clever", "safe"],
        },
        Turning {
            name: "not_found",
            texts: &[
                "{He} called and called, but the {thing} did not come.",
                "A man said that the {thing} had crossed the road and was far away.",
                "{name} looked for it for three days and found no trace.",
            ],
            endings: &["lost_pet", "hope"],
        },
    ],
    endings: &[
        Ending {
            name: "safe",
            texts: &[
                "{name} held the {thing} in {his} arms and was {glad}.",
                "{He} was {glad} that the {thing} was safe.",
            ],
        },
        Ending {
            name: "fetched",
            texts: &[
                "It took a long time to get the {thing} out of there, because it was {spot}.",
                "Since then, {he} always looks {spot} first.",
            ],
        },
        Ending {
            name: "ate",
            texts: &[
                "The {thing} ate all the {extra} and went home with {him}.",
                "Now {name} always has {extra} in {his} pocket.",
            ],
        },
        Ending {
            name: "invited",
            texts: &[
                "{name} invited {pal} to dinner to say thank you.",
                "Now {pal} and {name} walk the {thing} together.",
            ],
        },
        Ending {
            name: "called",
            texts: &[
                "A woman saw the picture and brought the {thing} home.",
                "The next day, somebody called and had the {thing}.",
            ],
        },
        Ending {
            name: "poster_helper",
            texts: &["Thanks to the posters and {his} {helper}, the {thing} was home in two days."],
        },
        Ending { name: "clever", texts: &["{name} laughed and called it the smartest {thing} in town."] },
        Ending {
            name: "lost_pet",
            texts: &[
                "{name} cried, because {he} had lost {his} {thing}.",
                "{He} was {sad} and did not want another {thing}.",
            ],
        },
        Ending { name: "hope", texts: &["{name} still hopes that the {thing} will come back."] },
    ],
};

/// Plants do not grow.
pub const GARDEN: Theme = Theme {
    name: "garden",
    things: &["roses", "tomatoes", "beans", "tulips", "carrots", "apples", "pumpkins", "lilies", "grapes", "herbs"],
    places: &["yard", "field", "balcony", "garden", "roof"],
    spots: &["at night", "at dawn", "twice a day", "every evening", "once a week"],
    extras: &["snails", "birds", "worms", "ants", "mice", "beetles"],
    opening: [
        &[
            "{name} planted {thing} in the {place}.",
            "In spring, {name} wanted to grow {thing} in the {place}.",
            "{name} had never grown {thing} before, but there was room in the {place}.",
        ],
        &[
            "{He} bought {a look} pot and good soil.",
            "{He} had {a look} shovel and much time.",
            "{He} looked at them every morning.",
        ],
        &[
            "But the leaves turned yellow and dry.",
            "But after a month, they were still very small.",
            "Then something ate the leaves, and the plants looked bad.",
        ],
    ],
    turnings: &[
        Turning {
            name: "watered",
            texts: &["{name} gave them water {spot}.", "{He} carried water to the {place} {spot}."],
            endings: &["grew", "kept_on", "kept_on"],
        },
        Turning {
            name: "advice",
            texts: &[
                "{His} {helper} told {him} to put them in the sun.",
                "Then {his} {helper} looked at the soil and knew what to do.",
                "{He} asked {his} {helper}, who loved plants.",
            ],
            endings: &["grew", "first_one", "first_one"],
        },
        Turning {
            name: "animals",
            texts: &[
                "{name} saw {extra} on the plants and took them away.",
                "{He} built a small fence against the {extra}.",
                "There were {extra} in the {place}, and {he} drove them off.",
            ],
            endings: &["grew", "no_more", "no_more"],
        },
        Turning {
            name: "rain",
            texts: &["[At last|Luckily] it rained for three days.", "In May the warm rain came, and the soil was wet."],
            endings: &["grew", "weather"],
        },
        Turning {
            name: "bought",
            texts: &[
                "{name} pulled them out and bought {thing} from {pal}.",
                "So {pal} sold {him} some {thing} that were already big.",
            ],
            endings: &["secret", "pal_plants"],
        },
        Turning {
            name: "left",
            texts: &[
                "{name} went on a trip and forgot the {thing}.",
                "{He} lost interest and did not go to the {place} any more.",
            ],
            endings: &["died", "stones"],
        },
    ],
    endings: &[
        Ending {
            name: "grew",
            texts: &["In summer the {place} was full of {thing}.", "The {thing} grew well, and {name} was {glad}."],
        },
        Ending {
            name: "kept_on",
            texts: &["The plants grew, and {name} still waters them {spot}.", "The work {spot} made {him} {glad}."],
        },
        Ending {
            name: "first_one",
            texts: &[
                "{name} gave the first {thing} to {his} {helper}.",
                "{He} was {glad} that {his} {helper} knew so much about plants.",
            ],
        },
        Ending {
            name: "no_more",
            texts: &[
                "Without the {extra}, the {thing} grew fast.",
                "The {extra} never came back, and {name} was {glad}.",
            ],
        },
        Ending {
            name: "weather",
            texts: &["{name} danced in the rain and was {glad}.", "The rain had saved the {thing}."],
        },
        Ending {
            name: "secret",
            texts: &[
                "{name} never told anyone who had really grown them.",
                "The neighbors praised {him}, but it was the work of {pal}.",
            ],
        },
        Ending { name: "pal_plants", texts: &["{name} learned from {pal} how to keep them alive."] },
        Ending {
            name: "died",
            texts: &["When {he} looked again, all the {thing} were dead.", "{name} was {sad} about the dead {thing}."],
        },
        Ending { name: "stones", texts: &["Now there are only stones in the {place}."] },
    ],
};
