//! The tokenizer "13a" of the WMT evaluations, which `sacrebleu` uses by default.

use std::sync::LazyLock;

use regex::Regex;

/// Where a point or a comma is a token of its own, and a dash: not within numbers.
static RULES: LazyLock<[(Regex, &str); 3]> = LazyLock::new(|| {
    [("([^0-9])([.,])", "$1 $2 "), ("([.,])([^0-9])", " $1 $2"), ("([0-9])(-)", "$1 $2 ")]
        .map(|(pattern, replacement)| (Regex::new(pattern).expect("it is a pattern"), replacement))
});

/// The tokens of a segment.
pub fn tokenize_13a(text: &str) -> Vec<String> {
    let mut line = text.trim_end_matches(is_space).replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        line = line.replace(entity, character);
    }
    let mut spaced = String::with_capacity(2 * line.len());
    spaced.push(' ');
    for character in line.chars() {
        match is_symbol(character) {
            true => spaced.extend([' ', character, ' ']),
            false => spaced.push(character),
        }
    }
    spaced.push(' ');
    let spaced = RULES.iter().fold(spaced, |line, (pattern, by)| pattern.replace_all(&line, *by).into_owned());
    spaced.split(is_space).filter(|token| !token.is_empty()).map(String::from).collect()
}

/// ASCII punctuation but for the apostrophe, the comma, the dash and the point.
fn is_symbol(character: char) -> bool {
    character.is_ascii_punctuation() && !matches!(character, '\'' | ',' | '-' | '.')
}

/// What Python's `str.split` splits at.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_split_off_but_not_within_numbers() {
        let tokens = tokenize_13a("Tom's cat (\"Max\") paid $3,000.50, or so -- in 1999-2000.\n");
        let expected =
            "Tom's cat ( \" Max \" ) paid $ 3,000.50 , or so -- in 1999 - 2000 .".split(' ').collect::<Vec<_>>();
        assert_eq!(tokens, expected);
    }

    #[test]
    fn entities_and_line_breaks_are_read() {
        assert_eq!(
            tokenize_13a("well-\nknown &quot;R&amp;D&quot;\nteam"),
            ["wellknown", "\"", "R", "&", "D", "\"", "team"]
        );
        assert!(tokenize_13a(" \n ").is_empty());
    }
}
