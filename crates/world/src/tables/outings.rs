//! Stories of plans that the weather or a clock crosses.

use super::{Ending, Theme, Turning};

/// It rains.
pub const RAIN: Theme = Theme {
    name: "rain",
    things: &["picnic", "party", "game", "race", "concert", "dance", "play", "match"],
    places: &["park", "garden", "meadow", "square", "field", "yard", "forest", "courtyard"],
    spots: &["in the barn", "in the kitchen", "in a tent", "under a bridge", "in the school hall", "in the garage"],
    extras: &["cards", "songs", "stories", "puzzles", "jokes", "riddles"],
    opening: [
        &[
            "{name} wanted to have {a thing} in the {place}.",
            "For weeks, {name} had planned {a thing} in the {place}.",
            "It was {name} who had the idea of {a thing} in the {place}.",
        ],
        &[
            "{He} invited all {his} friends and made some food.",
            "{He} asked many people to come [on Sunday|on Saturday|at noon].",
            "Everything was ready, and the first guests came.",
        ],
        &[
            "[But then|Suddenly|Just then] it started to rain.",
            "But the sky turned dark, and heavy rain fell.",
            "Then a storm came, and everyone got wet.",
        ],
    ],
    turnings: &[
        Turning {
            name: "cleared",
            texts: &[
                "[Luckily,|After an hour,|At two,] the rain stopped and the sun came out.",
                "Soon the clouds went away, and the sky was blue.",
            ],
            endings: &["outside", "rainbow"],
        },
        Turning {
            name: "moved",
            texts: &[
                "{name} told everyone to meet {spot}.",
                "{He} knew that it was dry {spot}, so they all went there.",
                "They moved everything and had the {thing} {spot}.",
            ],
            endings: &["inside", "at_spot", "at_spot"],
        },
        Turning {
            name: "other_fun",
            texts: &[
                "{name} went inside with them and brought out {extra}.",
                "They went to {his} house and spent the day with {extra}.",
                "Instead of the {thing}, there were {extra} at home.",
            ],
            endings: &["inside", "love_extra", "love_extra"],
        },
        Turning {
            name: "shelter",
            texts: &[
                "{His} {helper} came with a big tent and saved the {thing}.",
                "So {his} {helper} gave everyone a raincoat, and they stayed.",
            ],
            endings: &["helper_saved", "outside"],
        },
        Turning {
            name: "put_off",
            texts: &[
                "{He} sent everyone home and put off the {thing} for a week.",
                "{pal} said that it was better to try again next week.",
                "They agreed with {pal} to have the {thing} another day.",
            ],
            endings: &["next_week"],
        },
        Turning {
            name: "called_off",
            texts: &[
                "The rain did not stop, and the guests went home.",
                "{name} waited for hours, but in the end there was no {thing}.",
            ],
            endings: &["no_fun", "cold"],
        },
    ],
    endings: &[
        Ending {
            name: "outside",
            texts: &[
                "The {thing} in the {place} went on, and it was fun.",
                "They all stayed in the {place} until the evening.",
            ],
        },
        Ending {
            name: "rainbow",
            texts: &[
                "{name} showed them a rainbow over the {place}.",
                "The wet grass shone in the sun, and {name} felt {glad}.",
            ],
        },
        Ending {
            name: "inside",
            texts: &[
                "They heard the rain outside, but they were warm and {glad}.",
                "{name} was {glad} that they all stayed dry.",
            ],
        },
        Ending {
            name: "at_spot",
            texts: &["Nobody had ever had so much fun {spot}.", "Since that day, they always meet {spot}."],
        },
        Ending {
            name: "love_extra",
            texts: &[
                "They liked the {extra} so much that they forgot the rain.",
                "In the end, the {extra} were the best part of the day.",
            ],
        },
        Ending {
            name: "helper_saved",
            texts: &[
                "Everyone clapped for {his} {helper}, and the {thing} went on.",
                "{name} was {glad} that {his} {helper} had thought of the rain.",
            ],
        },
        Ending {
            name: "next_week",
            texts: &[
                "A week later, the sun was out, and the {thing} was great.",
                "When the day came, the weather was good, and {name} was {glad}.",
            ],
        },
        Ending {
            name: "no_fun",
            texts: &[
                "{name} was {sad} because the {thing} was over so soon.",
                "{He} ate all the food alone and felt {sad}.",
            ],
        },
        Ending { name: "cold", texts: &["{name} came home wet and {sad}, and {he} had a cold."] },
    ],
};

/// A bus or train is missed.
pub const LATE: Theme = Theme {
    name: "late",
    things: &["bus", "train", "boat", "plane", "ferry"],
    places: &["sea", "city", "castle", "mountains", "island", "zoo", "circus", "fair"],
    spots: &["at noon", "at night", "in the afternoon", "an hour later", "before dark", "just in time"],
    extras: &["taxi", "truck", "cart", "van", "wagon", "jeep"],
    opening: [
        &[
            "{name} wanted to see the {place}.",
            "All year, {name} had dreamed of a trip to the {place}.",
            "{name} was going to visit the {place} for the first time.",
        ],
        &[
            "{He} packed a bag and bought a ticket for the {thing}.",
            "The {thing} was to leave early in the morning.",
            "{He} had saved for months to pay for the {thing}.",
        ],
        &[
            "But {he} woke up late and missed the {thing}.",
            "When {he} came, the {thing} had just left.",
            "{He} ran as fast as {he} could, but the {thing} was gone.",
        ],
    ],
    turnings: &[
        Turning {
            name: "next_one",
            texts: &[
                "{name} waited for the next {thing} and took that one.",
                "{He} learned that another {thing} was going soon.",
                "A woman at the desk changed {his} ticket for the next {thing}.",
            ],
            endings: &["arrived", "same_trip"],
        },
        Turning {
            name: "driven",
            texts: &[
                "{His} {helper} had a car and drove {him} there.",
                "{He} called {his} {helper}, who took {him} in the car.",
            ],
            endings: &["arrived", "with_helper", "with_helper"],
        },
        Turning {
            name: "vehicle",
            texts: &[
                "{name} stopped {a extra} and asked for a ride.",
                "A man with {a extra} was going there and took {him} along.",
                "So {he} went with {a extra} instead.",
            ],
            endings: &["arrived", "ride", "ride"],
        },
        Turning {
            name: "pal",
            texts: &[
                "On the bench sat {pal}, who had been too late as well.",
                "{He} met {pal}, who had missed it too.",
                "Then {name} began to talk to {pal}, who was also waiting.",
            ],
            endings: &["new_friend", "new_friend"],
        },
        Turning {
            name: "stayed",
            texts: &[
                "{He} went back home and unpacked {his} bag.",
                "There was no other way to get there, so {name} stayed at home.",
                "{His} ticket was no good any more, and a new one cost too much.",
            ],
            endings: &["no_trip", "alarm"],
        },
    ],
    endings: &[
        Ending {
            name: "arrived",
            texts: &[
                "{He} reached the {place} {spot} and was {glad}.",
                "In the end, {name} saw the {place} and loved it.",
            ],
        },
        Ending {
            name: "same_trip",
            texts: &[
                "{name} sat in the {thing} and looked out of the window.",
                "The second {thing} was even faster, and {he} was there {spot}.",
            ],
        },
        Ending {
            name: "with_helper",
            texts: &[
                "{name} and {his} {helper} saw the {place} together.",
                "{He} thanked {his} {helper} for the drive to the {place}.",
            ],
        },
        Ending {
            name: "ride",
            texts: &[
                "{name} will never forget the ride in the {extra}.",
                "The {extra} was slow, but {he} got to the {place} {spot}.",
            ],
        },
        Ending {
            name: "new_friend",
            texts: &[
                "{name} and {pal} talked all day and became friends.",
                "{He} never saw the {place}, but {he} made a friend called {pal}.",
            ],
        },
        Ending {
            name: "no_trip",
            texts: &[
                "{name} was {sad} because {he} did not see the {place}.",
                "{He} looked at pictures of the {place} and felt {sad}.",
            ],
        },
        Ending {
            name: "alarm",
            texts: &["The next day {name} bought a loud clock.", "{He} promised {himself} never to be late again."],
        },
    ],
};
