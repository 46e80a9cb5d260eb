//! Sentences with numbers in them. `#` is the number.

/// The sentence of the random-number task; the number comes after it.
pub const UNIFORM: &str = "The following is a random integer drawn uniformly between 0 and 100:";

/// What may stand there instead of a number.
pub const INVALID: &[&str] = &["seven", "a number", "many", "ten", "none", "a few", "half", "twelve", "no number", "x"];

/// Sentences about amounts. `{thing}` is countable, in the plural.
pub const TEXTS: &[&str] = &[
    "{name} [sold|bought|counted|carried] # {thing} [at the market|in the morning|on Monday|last week].",
    "There are # {thing} in the [room|garden|old box|shop].",
    "[The trip|The walk|The work] took # [minutes|hours|days].",
    "The [tree|church|bridge] near the house of {name} is # years old.",
    "The house of {name} has the number #.",
    "{pal} paid # coins for [a hat|a lamp|the book|some tea].",
    "[The farmer|The baker|The teacher] has # {thing} and wants # more.",
    "It is # miles from [the village|the farm|here] to the [sea|city|station].",
    "In the game, {name} had # points and {pal} had #.",
    "Page # of the book [was missing|has a picture|is about {pal}].",
    "The bus with the number # [was late|goes to the sea|stops here].",
    "{name} guessed that there were # {thing}, but there were #.",
];

/// Words of `{thing}`.
pub const THINGS: &[&str] =
    &["apples", "eggs", "books", "stones", "birds", "cakes", "coins", "shells", "flowers", "hats"];
