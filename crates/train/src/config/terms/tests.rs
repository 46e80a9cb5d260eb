use super::super::tests::{MINIMAL, read, refusal, with};
use super::*;

/// A term of every kind.
pub(crate) const EVERY_TERM: &str = r#"reward.terms=[
    {kind = "likelihood", prefix = "", suffix = "\n{y}", stop = false, exponent = -0.5},
    {kind = "classifier", template = "{x}: {z}\n", label = " good", others = [" bad"], exponent = 2},
    {kind = "contains", texts = ["cat", "\"\"\""]},
    {kind = "excludes", texts = ["dog"], penalty = 3},
    {kind = "regex", pattern = "^\\s*[a-z]+$"},
    {kind = "length", min = 2, unit = "words", penalty = 0.5},
    {kind = "table", weights = {a = 1, "b.c" = 2.5}, before = ""},
    {kind = "table", uniform = {low = -1, high = 3}},
    {kind = "table", poisson = {rate = 2}},
    {kind = "table", binomial = {n = 3, p = 0.5}},
    {kind = "table", geometric = {p = 0.5}},
    {kind = "external", command = ["python3", "s.py"], timeout_seconds = 5},
]"#;

#[test]
fn terms_are_read_from_tables() {
    let terms = "[[reward.terms]]\nkind = \"likelihood\"\n[[reward.terms]]\nkind = \"regex\"\npattern = \"a\"\n";
    let found = read(&format!("{MINIMAL}{terms}"), &[]).unwrap().reward.terms;
    let likelihood = Likelihood { prefix: "{x}".into(), suffix: "".into(), stop: true };
    let pattern = Pattern { pattern: "a".into(), penalty: None };
    let expected = [TermKind::Likelihood(likelihood), TermKind::Regex(pattern)];
    assert_eq!(found, expected.map(|kind| Term { exponent: 1.0, kind }));
    assert_eq!(with(&[EVERY_TERM]).reward.terms.len(), 12);
    // Wherever they stand.
    let before = MINIMAL.replace("[train]", &format!("[reward]\nfloor = -50\n{terms}[train]"));
    assert_eq!(read(&before, &[]).unwrap().reward.terms, found);
}

#[test]
fn a_term_that_is_wrong_is_refused_by_its_number() {
    let good = r#"{kind = "length", max = 3}"#;
    let cases = [
        ("3", "expected a table with a kind"),
        ("{exponent = 2}", "kind is missing: expected one of likelihood, classifier, contains, excludes, "),
        (r#"{kind = "liklihood"}"#, "kind = \"liklihood\": did you mean \"likelihood\"?"),
        ("{kind = 7}", "kind = 7: expected one of likelihood, "),
        (r#"{kind = "likelihood", sufix = "{y}"}"#, "unknown key \"sufix\"; did you mean \"suffix\"?"),
        (r#"{kind = "regex", pattern = "a", words = 3}"#, "unknown key \"words\"; a term of kind \"regex\" has kind, "),
        (r#"{kind = "regex"}"#, "missing field `pattern`"),
        (r#"{kind = "regex", pattern = "("}"#, "pattern: expected a regular expression"),
        (r#"{kind = "regex", pattern = "a", exponent = 0}"#, "exponent: expected a finite number other than 0"),
        (r#"{kind = "regex", pattern = "a", exponent = nan}"#, "exponent: expected a finite number"),
        (r#"{kind = "regex", pattern = "a", penalty = 0}"#, "penalty: expected a finite number of nats above 0"),
        (r#"{kind = "likelihood", prefix = "{z}"}"#, "prefix: expected the text before Z"),
        (r#"{kind = "classifier", template = "{x}", label = "a"}"#, "template: expected a text with {z} in it once"),
        (r#"{kind = "contains", texts = []}"#, "texts: expected a list of at least one text"),
        (r#"{kind = "length"}"#, "min: expected this or max, or both"),
        (r#"{kind = "length", min = 3, max = 2}"#, "min: expected no more than max"),
        (r#"{kind = "length", max = -1}"#, "invalid value: integer `-1`"),
        (r#"{kind = "table"}"#, "a table has one of weights, "),
        (r#"{kind = "table", weights = {a = 0}}"#, "weights: expected texts with finite weights above 0"),
        (r#"{kind = "table", uniform = {low = 1, high = 0}}"#, "uniform: expected 1 to 100,000 numbers"),
        (r#"{kind = "table", uniform = {low = 1, hihg = 2}}"#, "unknown field `hihg`, expected `low` or `high`"),
        (r#"{kind = "table", poisson = {rate = inf}}"#, "poisson.rate: expected a number above 0"),
        (r#"{kind = "external", command = []}"#, "command: expected a list: a program, its arguments"),
        (
            r#"{kind = "external", command = ["a"], timeout_seconds = 0}"#,
            "timeout_seconds: expected a number of seconds",
        ),
    ];
    for (term, expected) in cases {
        let message = refusal(MINIMAL, &[&format!("reward.terms=[{good}, {term}]")]);
        assert!(message.contains(&format!(": reward.terms, term 2: {expected}")), "{message}");
    }
    assert!(
        refusal(MINIMAL, &["reward.terms=3"]).ends_with("reward.terms, expected a list of tables, [[reward.terms]]")
    );
}

#[test]
fn every_wrong_term_is_told_with_the_line_where_they_begin() {
    let text = format!("{MINIMAL}[[reward.terms]]\nkind = \"length\"\n[[reward.terms]]\nkind = \"lenght\"\n");
    let expected = "continuation.toml:9: reward.terms, term 1: min: expected this or max, or both\n\
                    continuation.toml:9: reward.terms, term 2: kind = \"lenght\": did you mean \"length\"?";
    assert_eq!(refusal(&text, &[]), expected);
}
