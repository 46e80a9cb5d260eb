//! Stories of a new town and a new skill.

use super::{Ending, Theme, Turning};

/// Something is hard to learn.
pub const LEARN: Theme = Theme {
    name: "learn",
    things: &["swim", "ski", "dance", "dive", "juggle", "skate", "climb", "surf", "ride", "wrestle"],
    places: &["club", "school", "center", "gym", "camp"],
    spots: &["every morning", "every night", "after school", "before breakfast", "on Sundays"],
    extras: &["a book", "a video", "a game", "a dream", "a film", "a cartoon"],
    opening: [
        &[
            "{name} wanted to learn to {thing}.",
            "{name} wished that {he} could {thing}.",
            "More than anything, {name} wanted to {thing}.",
        ],
        &[
            "{He} went to the {place} for [a lesson|some lessons].",
            "There was a class for it at the {place}.",
            "{His} friends at the {place} could do it well.",
        ],
        &[
            "But it was very hard, and {he} was afraid.",
            "But {he} made many mistakes, and the others laughed.",
            "The first time, {he} hurt {his} [arm|leg|foot].",
        ],
    ],
    turnings: &[
        Turning {
            name: "practiced",
            texts: &[
                "{name} did not give up and tried again {spot}.",
                "{He} practiced alone {spot}.",
                "From that day, {he} practiced {spot}.",
            ],
            endings: &["can", "habit", "habit"],
        },
        Turning {
            name: "taught",
            texts: &[
                "{His} {helper} showed {him} how to {thing}.",
                "Then {his} {helper} told {him} how it is done, step by step.",
            ],
            endings: &["can", "praise", "praise"],
        },
        Turning {
            name: "together",
            texts: &[
                "At the {place} {he} met {pal}, who could not {thing} either.",
                "{pal} was just as bad at it and wanted to practice with {him}.",
            ],
            endings: &["can", "both", "both"],
        },
        Turning {
            name: "trick",
            texts: &["{name} found a good trick in {extra}.", "{He} got a new idea from {extra}."],
            endings: &["can", "trick_worked"],
        },
        Turning {
            name: "other",
            texts: &[
                "{He} left the class and took up the piano instead.",
                "{name} saw a piano in the {place} and sat down at it.",
            ],
            endings: &["piano"],
        },
        Turning {
            name: "quit",
            texts: &[
                "{name} ran out of the {place} and did not come back.",
                "{He} told {his} {helper} that {he} would never try it again.",
            ],
            endings: &["cannot", "regret"],
        },
    ],
    endings: &[
        Ending {
            name: "can",
            texts: &[
                "After a few months, {name} could {thing} very well.",
                "Now {he} is the one who can {thing} best.",
            ],
        },
        Ending {
            name: "habit",
            texts: &["{name} still does it {spot} and is {glad}.", "The hard work {spot} was worth it."],
        },
        Ending {
            name: "praise",
            texts: &[
                "{name} was {glad} that {his} {helper} was such a good coach.",
                "Now {he} and {his} {helper} {thing} together.",
            ],
        },
        Ending {
            name: "both",
            texts: &[
                "A year later, {name} and {pal} won a prize together.",
                "{He} and {pal} helped each other and were {glad}.",
            ],
        },
        Ending {
            name: "trick_worked",
            texts: &[
                "Nobody would have thought that {extra} could help so much.",
                "{name} tells every beginner about {extra}.",
            ],
        },
        Ending {
            name: "piano",
            texts: &["Today {name} plays the piano in a band.", "{He} found that music was what {he} liked best."],
        },
        Ending {
            name: "cannot",
            texts: &["To this day, {name} cannot {thing}.", "{He} was {sad} when {he} saw the others {thing}."],
        },
        Ending { name: "regret", texts: &["Years later, {name} was {sad} that {he} had stopped so soon."] },
    ],
};

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
            "Last month, {name} moved to {a place} far away.",
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
                "{name} saw a sign and joined {a thing} team.",
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
                "{His} {helper} brought {him} {a extra} to keep.",
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
