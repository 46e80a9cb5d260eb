//! What values keys take.

use std::path::PathBuf;

use regex::Regex;

use super::TargetModules;
use super::reader::Rule;
use crate::template::Template;

pub(crate) const PATH: Rule<PathBuf> = Rule { expected: "a path", allows: |path| !path.as_os_str().is_empty() };
pub(crate) const BOOL: Rule<bool> = any("true or false");

pub(crate) const WHOLE: Rule<usize> = any("a whole number, 0 or more");
pub(crate) const COUNT: Rule<usize> = Rule { expected: "a whole number, 1 or more", allows: |n| *n >= 1 };
pub(crate) const SEED: Rule<u64> = any("a whole number, 0 or more");

// A range refuses NaN, and infinity where it has a bound there.
pub(crate) const POSITIVE: Rule<f64> =
    Rule { expected: "a finite number above 0", allows: |x| *x > 0.0 && x.is_finite() };
pub(crate) const NOT_NEGATIVE: Rule<f64> =
    Rule { expected: "a finite number, 0 or more", allows: |x| *x >= 0.0 && x.is_finite() };
pub(crate) const NEGATIVE: Rule<f64> =
    Rule { expected: "a finite number below 0", allows: |x| *x < 0.0 && x.is_finite() };
pub(crate) const SHARE: Rule<f64> = Rule { expected: "a number from 0 to 1", allows: |x| (0.0..=1.0).contains(x) };
pub(crate) const TO_ONE: Rule<f64> =
    Rule { expected: "a number above 0, at most 1", allows: |x| *x > 0.0 && *x <= 1.0 };
pub(crate) const BELOW_ONE: Rule<f64> =
    Rule { expected: "a number from 0 to below 1", allows: |x| (0.0..1.0).contains(x) };

pub(crate) const TEXTS: Rule<Vec<String>> =
    Rule { expected: "a list of texts, none of them empty", allows: |texts| texts.iter().all(|text| !text.is_empty()) };
pub(crate) const TEMPLATE: Rule<String> = Rule {
    expected: "a text with {x}, {y} or both in it, or other fields of the data",
    allows: |text| Template::new(text).fields().next().is_some(),
};
pub(crate) const TOKENS: Rule<Vec<u32>> = any("a list of token ids");
pub(crate) const REGEX: Rule<String> = Rule {
    expected: "a regular expression in Rust's syntax, which has no look-around and no back-references",
    allows: |text| Regex::new(text).is_ok(),
};
pub(crate) const TARGET_MODULES: Rule<TargetModules> = Rule {
    expected: "\"all-linear\", a regular expression for module names, or a list of names",
    allows: |modules| match modules {
        TargetModules::Names(names) => !names.is_empty() && names.iter().all(|name| !name.is_empty()),
        TargetModules::Pattern(pattern) => !pattern.is_empty() && Regex::new(pattern).is_ok(),
    },
};

/// Any value of the type.
pub(crate) const fn any<T>(expected: &'static str) -> Rule<T> {
    Rule { expected, allows: |_| true }
}
