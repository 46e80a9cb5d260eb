//! Stories of things that people want to make or to give.

use super::{Ending, Theme, Turning};

/// A dish lacks something.
pub const COOK: Theme = Theme {
    name: "cook",
    things: &["cake", "pie", "soup", "pizza", "salad", "stew", "omelet", "pudding"],
    places: &["shop", "market", "farm", "bakery", "garden", "mill"],
    spots: &[
        "in the cupboard",
        "in the cellar",
        "under the table",
        "behind the jars",
        "in a basket",
        "on the top shelf",
    ],
    extras: &["eggs", "onions", "carrots", "tomatoes", "beans", "mushrooms", "nuts", "potatoes", "lemons", "peppers"],
    opening: [
        &[
            "{name} wanted to make {a thing} for dinner.",
            "It was a holiday, and {name} was going to make {a thing}.",
            "{name} had promised to make {a thing} for the family.",
        ],
        &[
            "{He} washed {his} hands and opened the recipe book.",
            "{He} put on {a look} apron and went into the kitchen.",
            "{He} took out {a look} bowl and a spoon.",
        ],
        &[
            "But there were no {extra} in the house.",
            "The recipe asked for {extra}, and {he} had none.",
            "Then {he} saw that somebody had eaten all the {extra}.",
        ],
    ],
    turnings: &[
        Turning {
            name: "bought",
            texts: &[
                "{name} ran to the {place} and bought {extra}.",
                "{He} got {extra} at the {place}.",
                "It was late, but the {place} still had {extra}.",
            ],
            endings: &["as_planned", "from_place", "from_place"],
        },
        Turning {
            name: "given",
            texts: &[
                "{His} {helper} had some {extra} and gave them to {him}.",
                "{He} asked {his} {helper} and got some {extra}.",
            ],
            endings: &["as_planned", "shared", "shared"],
        },
        Turning {
            name: "found",
            texts: &["Then {name} found some {extra} {spot}.", "{He} looked {spot}, and there were the {extra}."],
            endings: &["as_planned", "tidy", "tidy"],
        },
        Turning {
            name: "without",
            texts: &["{name} made the {thing} without {extra}.", "{He} used sugar instead of {extra}."],
            endings: &["odd", "surprise"],
        },
        Turning {
            name: "ate_out",
            texts: &[
                "So {he} took everyone out to eat at {pal}'s inn.",
                "{name} closed the book and went to eat at {pal}'s house.",
                "Just then {pal} called and asked them all to dinner.",
            ],
            endings: &["at_pals", "no_dishes"],
        },
        Turning {
            name: "gave_up",
            texts: &[
                "{He} put the bowl away and made no {thing} at all.",
                "Without {extra}, {name} did not want to cook.",
            ],
            endings: &["hungry", "plain"],
        },
    ],
    endings: &[
        Ending {
            name: "as_planned",
            texts: &["The {thing} with {extra} was very good.", "Everyone wanted more of {his} {thing}."],
        },
        Ending {
            name: "from_place",
            texts: &[
                "They all said that {extra} from the {place} are the best.",
                "{name} was {glad} that the {place} had been open.",
            ],
        },
        Ending {
            name: "shared",
            texts: &[
                "{name} gave a big piece of the {thing} to {his} {helper}.",
                "{He} invited {his} {helper}, and they ate the {thing} together.",
            ],
        },
        Ending {
            name: "tidy",
            texts: &[
                "The {thing} was good, and {name} will always keep {extra} {spot}.",
                "{He} was {glad} that somebody had put them {spot}.",
            ],
        },
        Ending {
            name: "odd",
            texts: &[
                "The {thing} tasted strange, and nobody ate much.",
                "{name} was {sad} because the {thing} was not like {his} mother's.",
            ],
        },
        Ending {
            name: "surprise",
            texts: &[
                "To {his} surprise, nobody missed the {extra}.",
                "{He} found that {he} liked the {thing} better that way.",
            ],
        },
        Ending {
            name: "at_pals",
            texts: &["{pal} was a great cook, and they ate until late.", "{name} thanked {pal} for the good food."],
        },
        Ending { name: "no_dishes", texts: &["{name} was {glad} that {he} did not have to wash the dishes."] },
        Ending {
            name: "hungry",
            texts: &["The whole family went to bed hungry.", "{name} was {sad} and still hungry at night."],
        },
        Ending { name: "plain", texts: &["They had only dry bread for dinner that day."] },
    ],
};

/// A present costs too much.
pub const GIFT: Theme = Theme {
    name: "gift",
    things: &["necklace", "drum", "vase", "globe", "sweater", "telescope", "flute", "lantern", "teapot", "basket"],
    places: &["shop", "fair", "market", "store", "mall"],
    spots: &["on the fence", "on the wall", "on a big stone", "on a wooden board"],
    extras: &["lemonade", "cookies", "flowers", "berries", "shells", "candles", "newspapers"],
    opening: [
        &[
            "{name} saw {a look} {thing} at the {place}.",
            "At the {place}, {name} looked at {a look} {thing} for a long time.",
            "There was {a look} {thing} at the {place}, and {name} liked it.",
        ],
        &[
            "{He} wanted to give it to {pal} as a present.",
            "It was the birthday of {pal}, and {he} needed a gift.",
            "{He} knew that {pal} would love it.",
        ],
        &[
            "But it cost more than {he} had.",
            "{He} counted {his} coins, but there were not enough.",
            "It was far too expensive for {him}.",
        ],
    ],
    turnings: &[
        Turning {
            name: "sold",
            texts: &[
                "{name} sold {extra} in the street until {he} had enough.",
                "So {he} made some money by selling {extra}.",
                "{He} stood at the corner with {extra} for sale.",
            ],
            endings: &["given", "sales", "sales"],
        },
        Turning {
            name: "lent",
            texts: &["{His} {helper} lent {him} the money.", "{name} asked {his} {helper} to pay half of the price."],
            endings: &["given", "owe", "owe"],
        },
        Turning {
            name: "worked",
            texts: &[
                "{He} washed cars for {his} {helper} and got paid.",
                "{name} worked in the yard of {his} {helper} for a week.",
            ],
            endings: &["given", "tired", "tired"],
        },
        Turning {
            name: "cheaper",
            texts: &[
                "The seller was kind and made the {thing} cheaper.",
                "{name} told the seller about {pal} and got it for half the price.",
            ],
            endings: &["given", "seller"],
        },
        Turning {
            name: "made",
            texts: &["So {he} painted a picture for {pal} {spot}.", "{name} wrote a poem for {pal} {spot}."],
            endings: &["own_work", "at_spot"],
        },
        Turning {
            name: "gave_up",
            texts: &[
                "{name} left the {place} and bought nothing.",
                "While {he} was still thinking, someone else bought the {thing}.",
            ],
            endings: &["empty", "understood"],
        },
    ],
    endings: &[
        Ending {
            name: "given",
            texts: &["{pal} got the {thing} and was {glad}.", "{name} gave the {thing} to {pal} with a smile."],
        },
        Ending {
            name: "sales",
            texts: &[
                "{pal} loved the {thing} and laughed about the {extra}.",
                "Thanks to the {extra}, {name} could buy the {thing}.",
            ],
        },
        Ending {
            name: "owe",
            texts: &[
                "{pal} had a gift, and {name} paid {his} {helper} back in a month.",
                "{He} still owes {his} {helper} some coins for the {thing}.",
            ],
        },
        Ending {
            name: "tired",
            texts: &[
                "After the work for {his} {helper}, {he} was tired but had the {thing}.",
                "{name} said that {his} {helper} paid well, and bought the {thing}.",
            ],
        },
        Ending { name: "seller", texts: &["{name} thanked the kind seller and carried the {thing} to {pal}."] },
        Ending {
            name: "own_work",
            texts: &[
                "{pal} liked it more than anything from the {place}.",
                "It cost nothing, but {pal} was {glad} all day.",
            ],
        },
        Ending {
            name: "at_spot",
            texts: &["When {pal} saw it {spot}, they both laughed.", "You can still see {his} work {spot}."],
        },
        Ending {
            name: "empty",
            texts: &["{name} was {sad} to come to {pal} without a gift.", "{pal} got only a hug."],
        },
        Ending { name: "understood", texts: &["{pal} was not angry at all and said that friends matter more."] },
    ],
};
