//! Stories of things that are lost or broken.

use super::{Ending, Theme, Turning};

/// Something is lost.
pub const LOST: Theme = Theme {
    name: "lost",
    things: &["ball", "key", "ring", "hat", "book", "scarf", "watch", "doll", "kite", "coat", "umbrella", "wallet"],
    places: &["park", "school", "library", "market", "beach", "station", "museum", "church"],
    spots: &["under a bench", "near the door", "behind a box", "on the ground", "beside a wall", "in a dark corner"],
    extras: &[],
    opening: [
        &[
            "{name} had {a look} {thing} that {he} loved.",
            "{name} loved {his} {look} {thing} very much.",
            "{name} never went out without {his} {look} {thing}.",
            "There was one thing that {name} loved most, {a look} {thing}.",
        ],
        &[
            "[One day|One morning|Last week] {he} took it to the {place}.",
            "[One day|After lunch|On Sunday] {he} went to the {place} with it.",
            "{He} had it with {him} when {he} went to the {place}.",
        ],
        &[
            "On the way home, {he} saw that the {thing} was gone.",
            "[Later|In the evening] {he} looked for the {thing}, but it was not there.",
            "When it was time to go home, {he} could not find the {thing}.",
        ],
    ],
    turnings: &[
        Turning {
            name: "found_alone",
            texts: &[
                "{name} went back and found the {thing} {spot}.",
                "{He} searched the {place} again and saw the {thing} {spot}.",
                "After a long search, {he} found it {spot}.",
            ],
            endings: &["back", "spot", "spot"],
        },
        Turning {
            name: "found_by_helper",
            texts: &[
                "{His} {helper} helped {him} search and found the {thing}.",
                "{He} called {his} {helper}, who found it at the {place}.",
                "Then {his} {helper} came to the {place} and found the {thing}.",
            ],
            endings: &["back", "thanks_helper", "thanks_helper"],
        },
        Turning {
            name: "brought_back",
            texts: &[
                "A stranger named {pal} found the {thing} and brought it back.",
                "{pal} had seen it at the {place} and came running with it.",
                "Just then {pal} came by with the {thing}.",
            ],
            endings: &["back", "thanks_pal", "thanks_pal"],
        },
        Turning {
            name: "new_from_helper",
            texts: &[
                "{His} {helper} gave {him} a new {thing} the next day.",
                "So {his} {helper} went to a shop and bought {him} another {thing}.",
            ],
            endings: &["new", "thanks_for_new"],
        },
        Turning {
            name: "bought_new",
            texts: &[
                "{He} saved {his} money and bought a new {thing}.",
                "{name} took all {his} money and paid for another {thing}.",
            ],
            endings: &["new", "money", "money"],
        },
        Turning {
            name: "gave_up",
            texts: &[
                "{He} looked everywhere, but in the end {he} gave up.",
                "Nobody at the {place} had seen the {thing}.",
                "{He} searched until it was dark and found nothing.",
            ],
            endings: &["never", "missed"],
        },
    ],
    endings: &[
        Ending {
            name: "back",
            texts: &[
                "{name} was {glad} to have the {thing} back.",
                "{He} went home with {his} old {thing} and felt {glad}.",
            ],
        },
        Ending {
            name: "spot",
            texts: &[
                "{He} was {glad} that {he} had looked {spot}.",
                "{name} laughed because it had been {spot} all the time.",
            ],
        },
        Ending {
            name: "thanks_helper",
            texts: &[
                "{name} thanked {his} {helper} for finding the {thing}.",
                "{He} was {glad} that {his} {helper} had found it.",
            ],
        },
        Ending {
            name: "thanks_pal",
            texts: &[
                "{He} thanked {pal}, and the two became friends.",
                "{name} was {glad} that {pal} had been so kind.",
            ],
        },
        Ending {
            name: "new",
            texts: &[
                "{name} liked the new {thing} even more than the old one.",
                "Now {he} takes good care of {his} new {thing}.",
            ],
        },
        Ending {
            name: "thanks_for_new",
            texts: &[
                "{name} thanked {his} {helper} for the new {thing}.",
                "{He} hugged {his} {helper} and put the new {thing} in a safe place.",
            ],
        },
        Ending {
            name: "money",
            texts: &[
                "{His} money was gone, but {he} had {a thing} again.",
                "{name} was {glad} that {he} had paid for it {himself}.",
            ],
        },
        Ending {
            name: "never",
            texts: &["{name} never saw the {thing} again.", "{He} went home {sad}, without the {thing}."],
        },
        Ending { name: "missed", texts: &["{name} was {sad} and missed the lost {thing} for a long time."] },
    ],
};

/// Something breaks.
pub const BROKEN: Theme = Theme {
    name: "broken",
    things: &["bike", "radio", "lamp", "clock", "camera", "phone", "computer", "toaster", "heater", "fan", "scooter"],
    places: &["kitchen", "garage", "yard", "hall", "attic", "workshop"],
    spots: &["on the wall", "in the window", "beside the bed", "next to the door"],
    extras: &["tape", "glue", "wire", "a screw", "a nail", "some string"],
    opening: [
        &[
            "{name} used {his} {look} {thing} every day.",
            "{name} was proud of {his} {look} {thing}.",
            "There was {a look} {thing} that {name} used every day.",
        ],
        &[
            "[One day|One evening|Last night] {he} wanted to use it in the {place}.",
            "[On Monday|On Friday|This morning] {he} carried it into the {place}.",
            "{He} had left it in the {place} for a while.",
        ],
        &[
            "There was a loud noise, and the {thing} stopped working.",
            "But the {thing} fell down and broke.",
            "{He} saw that the {thing} was broken.",
        ],
    ],
    turnings: &[
        Turning {
            name: "mended_alone",
            texts: &[
                "{name} mended the {thing} with {extra}.",
                "{He} took {extra} and worked until the {thing} was mended.",
                "After some thought, {he} put it together again with {extra}.",
            ],
            endings: &["works", "by_extra", "by_extra"],
        },
        Turning {
            name: "mended_by_helper",
            texts: &[
                "{His} {helper} knew a lot about such things and mended the {thing}.",
                "{He} asked {his} {helper}, who repaired it in an hour.",
            ],
            endings: &["works", "repaid", "repaid"],
        },
        Turning {
            name: "repair_shop",
            texts: &[
                "{He} took the {thing} to a shop, where {pal} repaired it.",
                "{name} paid a worker named {pal} to repair the {thing}.",
                "At the repair shop, {pal} put in a new part.",
            ],
            endings: &["works", "praised_pal", "praised_pal"],
        },
        Turning {
            name: "lent",
            texts: &[
                "{His} {helper} had two of them and lent {him} {a thing}.",
                "So {his} {helper} let {him} borrow another {thing}.",
            ],
            endings: &["borrowed", "returned"],
        },
        Turning {
            name: "thrown_away",
            texts: &[
                "It could not be repaired, so {he} threw the {thing} away.",
                "{name} tried to repair it, but {he} only made it worse.",
            ],
            endings: &["without", "sorry"],
        },
        Turning {
            name: "kept_broken",
            texts: &[
                "{He} painted the broken {thing} and put it {spot}.",
                "{name} cleaned the old parts and placed the {thing} {spot}.",
            ],
            endings: &["pretty", "sorry"],
        },
    ],
    endings: &[
        Ending {
            name: "works",
            texts: &["Soon the {thing} worked as well as before.", "{name} was {glad} that the {thing} worked again."],
        },
        Ending {
            name: "by_extra",
            texts: &[
                "{name} was {glad} that {extra} had been enough.",
                "{He} told everyone what you can do with {extra}.",
            ],
        },
        Ending {
            name: "repaid",
            texts: &[
                "{name} baked a cake for {his} {helper} to say thanks for the work.",
                "{He} was {glad} that {his} {helper} was so good at repairs.",
            ],
        },
        Ending {
            name: "praised_pal",
            texts: &[
                "{name} told all {his} friends how good {pal} was.",
                "{He} paid {pal} and went home with the {thing}.",
            ],
        },
        Ending { name: "borrowed", texts: &["{name} was very careful with the {thing} of {his} {helper}."] },
        Ending {
            name: "returned",
            texts: &[
                "A week later, {he} gave the {thing} back to {his} {helper}.",
                "{name} promised {his} {helper} to bring it back soon.",
            ],
        },
        Ending {
            name: "without",
            texts: &["{name} had to live without {a thing}.", "Now there was an empty place in the {place}."],
        },
        Ending { name: "sorry", texts: &["{He} was {sad} because the {thing} would never work again."] },
        Ending {
            name: "pretty",
            texts: &["Everyone who came in liked the pretty {thing} {spot}.", "{name} smiled when {he} saw it {spot}."],
        },
    ],
};
