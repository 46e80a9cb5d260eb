//! Stories of a new town, a hard test and a dry garden.

use super::{Ending, Theme, Turning};

/// Somebody is new and alone.
pub const LONELY: Theme = Theme {
    name: "lonely",
    things: &["soccer", "tennis", "chess", "baseball", "hockey", "cards"],
    places: &["city", "village", "town", "island", "valley"],
    spots: &["by the pool", "at the bus stop", "in the library", "on the stairs", "at the fountain", "in the cafe"],
    extras: &["puppy", "kitten", "parrot", "pony", "rabbit", "hamster"],
    opening: [
        &[
            "{name} moved to a new {place} with {his} family.",
            "{name} had just come to live in a small {place}.",
            "Last month, {name} moved to a {place} far away.",
        ],
        &[
            "{He} liked to play {thing}, but not alone.",
            "At home {he} used to play {thing} with {his} friends.",
            "{He} missed the old {look} house and the games of {thing}.",
        ],
        &[
            "{He} did not know anybody there.",
            "Every day {he} sat alone in {his} room.",
            "The other children did not talk to {him}.",
        ],
    ],
    turnings: &[
        Turning {
            name: "met",
            texts: &[
                "One day {he} met {pal} {spot}.",
                "{pal} sat down next to {name} {spot} and said hello.",
                "Then {pal} talked to {him} {spot}.",
            ],
            endings: &["friend", "our_spot", "our_spot"],
        },
        Turning {
            name: "team",
            texts: &[
                "{name} saw a sign and joined a {thing} team.",
                "A coach asked {him} to play {thing} for the {place}.",
            ],
            endings: &["team_won", "many_friends"],
        },
        Turning {
            name: "party",
            texts: &[
                "{His} {helper} gave a party for all the neighbors.",
                "So {his} {helper} asked the whole street to come for tea.",
            ],
            endings: &["many_friends", "party_helper", "party_helper"],
        },
        Turning {
            name: "animal",
            texts: &[
                "{His} {helper} brought {him} a {extra} to keep.",
                "At the shelter, {name} chose a little {extra}.",
                "{He} found a lonely {extra} and fed it.",
            ],
            endings: &["animal_friend"],
        },
        Turning {
            name: "visit",
            texts: &[
                "{pal} from the old home came to visit for a week.",
                "{He} wrote a letter to {pal}, a friend from before.",
            ],
            endings: &["old_friend", "letters"],
        },
        Turning {
            name: "alone",
            texts: &[
                "{name} was too shy to go out and meet people.",
                "{He} asked some boys to play {thing}, but they said no.",
            ],
            endings: &["homesick", "still_alone"],
        },
    ],
    endings: &[
        Ending {
            name: "friend",
            texts: &["Soon {name} and {pal} were best friends.", "Now {he} plays {thing} with {pal} every day."],
        },
        Ending {
            name: "our_spot",
            texts: &["They still meet {spot} each week.", "{name} was {glad} that {he} had been {spot} that day."],
        },
        Ending {
            name: "team_won",
            texts: &[
                "{name} helped the team to win and was {glad}.",
                "With {name}, the team won every game of {thing}.",
            ],
        },
        Ending {
            name: "many_friends",
            texts: &["Soon {he} had many friends in the {place}.", "{name} was never alone in the {place} again."],
        },
        Ending {
            name: "party_helper",
            texts: &[
                "{name} was {glad} that {his} {helper} liked parties.",
                "{He} met a lot of people and thanked {his} {helper}.",
            ],
        },
        Ending {
            name: "animal_friend",
            texts: &[
                "The {extra} followed {him} everywhere and made {him} {glad}.",
                "{name} taught the {extra} some tricks.",
            ],
        },
        Ending {
            name: "old_friend",
            texts: &[
                "They had so much to tell that {pal} and {name} talked all night.",
                "{name} was {glad} that {pal} had not forgotten {him}.",
            ],
        },
        Ending { name: "letters", texts: &["Now {pal} and {name} write to each other every week."] },
        Ending {
            name: "homesick",
            texts: &[
                "{name} wanted to go back to {his} old home.",
                "{He} was {sad} in the new {place} for a long time.",
            ],
        },
        Ending {
            name: "still_alone",
            texts: &["So {he} went on playing {thing} against the wall.", "{name} stayed alone and felt {sad}."],
        },
    ],
};

/// A test is coming.
pub const TEST: Theme = Theme {
    name: "test",
    things: &["math", "history", "science", "French", "music", "reading", "spelling", "art"],
    places: &["library", "park", "attic", "cafe", "kitchen", "garden"],
    spots: &["until midnight", "all weekend", "for ten hours", "for a whole week", "in the holidays"],
    extras: &["pictures", "songs", "jokes", "stories", "games", "colors"],
    opening: [
        &[
            "{name} had a big {thing} test at school.",
            "On Friday there was a {thing} test in {name}'s class.",
            "{name} was not good at {thing}, and there was a test.",
        ],
        &[
            "{He} had lost {his} {look} notebook.",
            "{He} opened {his} {look} book and read one page.",
            "{He} had not listened in class.",
        ],
        &[
            "{He} did not understand anything.",
            "{He} was afraid to fail the test.",
            "It all looked very hard to {him}.",
        ],
    ],
    turnings: &[
        Turning {
            name: "studied",
            texts: &[
                "{name} went to the {place} and studied {spot}.",
                "{He} studied {thing} {spot}.",
                "So {he} worked in the {place} {spot}.",
            ],
            endings: &["passed", "long_work", "long_work"],
        },
        Turning {
            name: "explained",
            texts: &[
                "{His} {helper} explained {thing} to {him}.",
                "In the {place}, {his} {helper} went through the book with {him}.",
            ],
            endings: &["passed", "thanks", "thanks"],
        },
        Turning {
            name: "group",
            texts: &[
                "{pal} came over to study with {him}.",
                "{name} and {pal} learned for the test together in the {place}.",
            ],
            endings: &["passed", "both", "both"],
        },
        Turning {
            name: "method",
            texts: &["{name} turned the whole book into {extra}.", "{He} learned it all with the help of {extra}."],
            endings: &["passed", "with_extra", "with_extra"],
        },
        Turning {
            name: "cheated",
            texts: &["In the test, {he} looked at {pal}'s paper.", "{name} copied all the answers from {pal}."],
            endings: &["caught", "same_errors"],
        },
        Turning {
            name: "played",
            texts: &["{name} closed the book and played outside {spot}.", "{He} went to sleep and hoped for luck."],
            endings: &["failed", "again"],
        },
    ],
    endings: &[
        Ending {
            name: "passed",
            texts: &["{name} passed the {thing} test and was {glad}.", "{He} got one of the best grades in {thing}."],
        },
        Ending {
            name: "long_work",
            texts: &[
                "{He} had worked {spot}, and now {he} passed.",
                "After learning {spot}, {name} found the test easy.",
            ],
        },
        Ending {
            name: "thanks",
            texts: &[
                "{name} showed the good grade to {his} {helper} first.",
                "{He} passed and thanked {his} {helper} for the lesson.",
            ],
        },
        Ending {
            name: "both",
            texts: &[
                "Both {name} and {pal} passed the test.",
                "{name} and {pal} got the same good grade and were {glad}.",
            ],
        },
        Ending {
            name: "with_extra",
            texts: &[
                "{name} remembered all the {extra} and passed.",
                "The teacher liked the {extra} so much that {he} had to show them to the class.",
            ],
        },
        Ending {
            name: "caught",
            texts: &["The teacher saw it, and {name} had to leave the room.", "{He} was caught and felt {sad}."],
        },
        Ending {
            name: "same_errors",
            texts: &["Both {pal} and {name} had the same errors, and the teacher knew why."],
        },
        Ending {
            name: "failed",
            texts: &["{name} failed the {thing} test and was {sad}.", "{He} could not answer one question."],
        },
        Ending { name: "again", texts: &["{name} had to take the test again in the summer."] },
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
