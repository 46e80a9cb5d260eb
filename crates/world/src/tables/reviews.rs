//! Sentences about films and books, and what makes them objective or subjective.
//!
//! A plot's sentences tell facts, an opinion's judge. Slots: `{thing}` is the work, `{name}` its hero, `{place}` where
//! it plays, `{extra}` the hero's trade, `{look}`, `{helper}`, `{pal}` as in stories.

/// What sort of sentence a review is.
#[derive(Debug)]
pub struct Kind {
    /// `objective` or `subjective`.
    pub label: &'static str,
    /// Wordings of the reason, to be put after "This review is".
    pub reasons: &'static [&'static str],
    /// Wordings of the review.
    pub texts: &'static [&'static str],
}

/// Words of `{thing}`.
pub const WORKS: &[&str] = &["film", "movie", "book", "play", "comedy", "drama"];
/// Words of `{place}`.
pub const PLACES: &[&str] = &["village", "city", "castle", "forest", "inn", "hotel", "farm", "school", "station"];
/// Words of `{extra}`.
pub const TRADES: &[&str] = &["baker", "teacher", "farmer", "doctor", "painter", "singer", "king", "soldier", "driver"];

/// All sorts of sentences.
pub const KINDS: [Kind; 10] = [
    Kind {
        label: "objective",
        reasons: &["about a plot event", "about what happens in the story"],
        texts: &[
            "[One day|After a storm|At night] {name} [loses|finds|breaks] {a look} ring and [leaves|runs from] the {place}.",
            "{name} [meets|follows|helps] {pal} in {a place}, and [they fall in love|they run away|nobody believes them].",
            "When {his} {helper} [dies|leaves|gets sick], {name} must [go back to|sell|save] the {place}.",
            "{name} [wakes up|is left alone|is lost] in {a place} and [looks for|waits for|writes to] {pal}.",
        ],
    },
    Kind {
        label: "objective",
        reasons: &["about a character", "about who the hero is"],
        texts: &[
            "{name} is [a young|a poor|a rich|an old] {extra} who [lives|works] in {a place}.",
            "The hero of the {thing} is {name}, {a extra} [with two sons|from the south|without a home].",
            "{name} has [been|worked as] {a extra} [for ten years|all {his} life|since the war].",
        ],
    },
    Kind {
        label: "objective",
        reasons: &["about a place", "about where the story is set"],
        texts: &[
            "The {thing} is set in {a place} [by the sea|in the mountains|near a big city].",
            "The story [begins|ends] in {a look} {place}, where {name} [was born|once lived].",
            "All of the {thing} takes place in [one room of|the cellar of|the garden of] {a place}.",
        ],
    },
    Kind {
        label: "objective",
        reasons: &["based on facts", "about how it was made"],
        texts: &[
            "The {thing} was made by {pal} [in one summer|in three years|after the war].",
            "{pal} wrote the {thing} [about an aunt|in {a place}|in one cold winter].",
            "It is the [first|second|last] {thing} by {pal}, who was {a extra} before.",
        ],
    },
    Kind {
        label: "objective",
        reasons: &["about a time in history", "about a true story"],
        texts: &[
            "The {thing} tells the true story of {a extra} [in the war|a hundred years ago|in the year of the flood].",
            "[In the old days|A hundred years ago], {name} was the only {extra} of the {place}.",
        ],
    },
    Kind {
        label: "subjective",
        reasons: &["about a feeling", "about how it made someone feel"],
        texts: &[
            "I [laughed|cried|was bored|fell asleep] [all the time|at the end|before the end], and so [will you|did my friends].",
            "This {thing} about {a extra} in {a place} [made me happy|left me cold|made me sad|warmed my heart].",
            "[I was glad|I was sad|How happy I was] when the {thing} was over.",
        ],
    },
    Kind {
        label: "subjective",
        reasons: &["an opinion about the story", "about whether the story is good"],
        texts: &[
            "The story of {name} the {extra} is [too long|too thin|clever|a mess], and the end is [weak|great|hard to believe].",
            "[A dull|A lovely|A strange|A very funny] {thing} about {name} and {a extra} [that never finds its way|that is full of ideas|with nothing to say].",
            "The {thing} has [no heart|no point|more charm than sense], but [it is fun|it looks good|who cares].",
        ],
    },
    Kind {
        label: "subjective",
        reasons: &["an opinion about the acting", "about how well the roles are played"],
        texts: &[
            "{pal} is [great|awful|perfect|not convincing] as the {extra}.",
            "Nobody can believe that {pal} is {a extra}, and the tears are [false|a joke].",
            "As {name}, {pal} [gives the best|gives the worst] performance [of the year|in the {thing}].",
        ],
    },
    Kind {
        label: "subjective",
        reasons: &["giving advice", "telling people what to do"],
        texts: &[
            "[Do not miss|Stay away from|Run to see|Forget] this {thing} by {pal} about {a place}.",
            "If you [like|love|hate] [slow|loud|sad] stories, [this {thing} is for you|read a good book instead].",
            "Take your children with you, because this {thing} about {a extra} by {pal} is [a gift|a joy].",
            "Leave your children at home, because this {thing} about {a extra} by {pal} is [too sad|too silly|too long].",
        ],
    },
    Kind {
        label: "subjective",
        reasons: &["comparing it with others", "about which work is better"],
        texts: &[
            "The {thing} about {a place} is [better|worse|more fun] than [the one by {pal}|the last one|all others this year|the book].",
            "[Not even|Only] {pal} could have made a [better|worse|more boring] {thing}.",
            "I have seen this {thing} [a hundred times|before], and it was [better|funnier] then.",
        ],
    },
];
