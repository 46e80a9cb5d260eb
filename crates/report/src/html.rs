//! Text and numbers as HTML.

use std::fmt::{self, Display, Formatter, Write};

/// Displays text so that it is nothing but text, in elements and in attributes.
pub struct Escaped<'a>(pub &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(character)?,
                // HTML has no place for them.
                _ if character.is_control() => f.write_char(char::REPLACEMENT_CHARACTER)?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// What stands where there is no number.
pub const NONE: &str = "–";

/// An arrow that is read out.
pub const ARROW: &str = r#"<span aria-hidden="true">→</span><span class="unseen">to</span>"#;

/// Marks the best evaluation.
pub const BEST: &str = r#"<span class="badge">best</span>"#;

/// About four digits.
pub fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return NONE.into() };
    let size = value.abs();
    if size == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e6).contains(&size) {
        return minus(format!("{value:.2e}"));
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 4) as usize;
    minus(group(format!("{value:.decimals$}")))
}

/// A log-probability in nats, to two decimals: enough to compare, and aligned in columns.
pub fn nats(value: Option<f64>) -> String {
    value.map_or_else(|| NONE.into(), |value| minus(group(format!("{value:.2}"))))
}

/// A share in percent.
pub fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| NONE.into(), |share| minus(format!("{:.1}%", share * 100.0)))
}

/// A whole number, with separators.
pub fn count(value: u64) -> String {
    group(value.to_string())
}

/// A duration that people can grasp.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes} min {rest} s"),
        _ => format!("{} h {minutes} min", count(hours)),
    }
}

/// A real minus sign.
pub fn minus(number: String) -> String {
    number.replace('-', "\u{2212}")
}

/// `12345.6` as `12,345.6`.
fn group(number: String) -> String {
    let end = number.find('.').unwrap_or(number.len());
    let start = usize::from(number.starts_with('-'));
    let mut grouped = String::with_capacity(number.len() + 4);
    for (index, digit) in number.chars().enumerate() {
        if index > start && index < end && (end - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let text = Escaped("<b a=\"1\" c='2'>&\0\n").to_string();
        assert_eq!(text, "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;\u{fffd}\n");
    }

    #[test]
    fn numbers_have_four_digits() {
        let shown = [0.0, 1.0, -41.20311, 0.178107, 0.00123, 6604.797, -123456.7, 2e-5, 3.2e7].map(|v| number(Some(v)));
        let expected =
            ["0", "1.000", "\u{2212}41.20", "0.1781", "0.0012", "6,605", "\u{2212}123,457", "2.00e\u{2212}5", "3.20e7"];
        assert_eq!(shown, expected);
        assert_eq!(number(None), NONE);
        assert_eq!([Some(-1234.567), None].map(nats), ["\u{2212}1,234.57", NONE]);
    }

    #[test]
    fn durations_have_two_units() {
        assert_eq!([59.6, 3599.0, 7261.0].map(duration), ["1 min 0 s", "59 min 59 s", "2 h 1 min"]);
        assert_eq!(duration(3.2), "3 s");
    }
}
