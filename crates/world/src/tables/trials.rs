//! Stories of an illness before a big day, and of a test.

use super::{Ending, Theme, Turning};

/// Somebody is ill before a big day.
pub const ILL: Theme = Theme {
    name: "ill",
    things: &["wedding", "birthday", "show", "parade", "festival", "feast", "opera", "final"],
    places: &["church", "town", "theater", "village", "palace", "stadium", "hotel"],
    spots: &["on the phone", "in bed", "at the window", "on the sofa"],
    extras: &["tea", "soup", "hot milk", "lemon juice", "ginger tea", "apple juice"],
    opening: [
        &[
            "{name} could not wait for the {thing} in the {place}.",
            "There was going to be {a look} tent and a big {thing} in the {place}, and {name} wanted to go.",
            "{name} had a ticket for the {thing} in the {place}.",
        ],
        &[
            "{He} wanted to wear {his} {look} [hat|shirt|shoes].",
            "{He} had counted the days for a month.",
            "All {his} friends were going to be there.",
        ],
        &[
            "But {he} woke up with a fever.",
            "The day before, {he} got very sick.",
            "But that morning {his} throat hurt, and {he} could not stand up.",
        ],
    ],
    turnings: &[
        Turning {
            name: "cured",
            texts: &[
                "{name} drank a lot of {extra} and slept for ten hours.",
                "{He} took some {extra}, and it made {him} well.",
                "A big cup of {extra} did wonders.",
            ],
            endings: &["went", "credit", "credit"],
        },
        Turning {
            name: "nursed",
            texts: &[
                "{His} {helper} took care of {him} all night.",
                "{name} rested while {his} {helper} sat beside {him} and nursed {him}.",
            ],
            endings: &["went", "nurse_thanks", "nurse_thanks"],
        },
        Turning {
            name: "doctor",
            texts: &[
                "Doctor {pal} came and told {him} to stay in bed.",
                "{He} was told by Doctor {pal} that {he} could not go.",
            ],
            endings: &["stayed", "doctor_right", "doctor_right"],
        },
        Turning {
            name: "watched",
            texts: &[
                "{His} {helper} filmed all of it and sent {him} the film.",
                "So {his} {helper} went there and let {him} watch the {thing} {spot}.",
            ],
            endings: &["saw_film", "film_helper"],
        },
        Turning {
            name: "went_ill",
            texts: &[
                "{name} got up and went anyway, although {he} was sick.",
                "{He} told nobody about it and went there with a hot head.",
            ],
            endings: &["worse", "fell"],
        },
    ],
    endings: &[
        Ending {
            name: "went",
            texts: &[
                "{He} was well in time and danced at the {thing}.",
                "So {name} was able to see the {thing} and was {glad}.",
            ],
        },
        Ending {
            name: "credit",
            texts: &[
                "Now {name} takes {extra} whenever {he} feels sick.",
                "{He} got to the {thing} in time, all because of {extra}.",
            ],
        },
        Ending {
            name: "nurse_thanks",
            texts: &[
                "{name} went to the {thing} and brought a flower home for {his} {helper}.",
                "{He} was {glad} to have such a kind {helper}, and they went together.",
            ],
        },
        Ending {
            name: "stayed",
            texts: &["{name} was {sad} to miss the {thing}.", "{He} heard the music of the {thing} from {his} bed."],
        },
        Ending {
            name: "doctor_right",
            texts: &[
                "{name} missed the {thing}, but Doctor {pal} had been right.",
                "{He} was {sad} and a bit angry at Doctor {pal}.",
            ],
        },
        Ending {
            name: "saw_film",
            texts: &[
                "{name} felt as if {he} had been at the {thing}.",
                "{He} watched the film of the {thing} three times.",
            ],
        },
        Ending {
            name: "film_helper",
            texts: &[
                "{name} thanked {his} {helper} for letting {him} see the {thing} at home.",
                "{He} was {glad} that {his} {helper} had a camera.",
            ],
        },
        Ending {
            name: "worse",
            texts: &[
                "In the evening {he} felt much worse.",
                "{name} had to stay in bed for two weeks after the {thing}.",
            ],
        },
        Ending {
            name: "fell",
            texts: &[
                "{name} fell asleep in the middle of the {thing}.",
                "{He} had to leave the {thing} early and felt {sad}.",
            ],
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
            "{name} had a big test in {thing} at school.",
            "On Friday there was {a thing} test in {name}'s class.",
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
