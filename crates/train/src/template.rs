//! Texts with places for the fields of a line of data.

use std::collections::BTreeMap;

/// A text in which `{name}` stands for a field of the data. `{z}`, which is sought, and braces around anything else are texts themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
}

impl Template {
    /// Finds the places in a text.
    pub fn new(text: &str) -> Self {
        Self::with_places(text, |name| name != "z" && is_field(name))
    }

    /// The same where `{z}` is a place too: Z is known where it is learnt.
    pub fn with_z(text: &str) -> Self {
        Self::with_places(text, is_field)
    }

    fn with_places(text: &str, is_place: impl Fn(&str) -> bool) -> Self {
        let (mut pieces, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            literal.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            match rest.split_once('}').filter(|(name, _)| is_place(name)) {
                Some((name, after)) => {
                    pieces.extend([Piece::Text(std::mem::take(&mut literal)), Piece::Field(name.into())]);
                    rest = after;
                }
                None => literal.push('{'),
            }
        }
        literal.push_str(rest);
        pieces.push(Piece::Text(literal));
        Self(pieces)
    }

    /// The names of the fields that it has places for.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Field(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// The text with fields in their places, each as it is; a field that is not there is empty.
    pub fn fill(&self, fields: &BTreeMap<String, String>) -> String {
        let mut text = String::new();
        for piece in &self.0 {
            text.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Field(name) => fields.get(name).map_or("", String::as_str),
            });
        }
        text
    }

    /// The text before Z: space at its end is dropped, as Z begins with it.
    pub fn fill_prompt(&self, fields: &BTreeMap<String, String>) -> String {
        let mut text = self.fill(fields);
        text.truncate(text.trim_end_matches(' ').len());
        text
    }
}

/// Whether a line of data may have a field of that name, for a template.
fn is_field(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(word) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(template: &str, x: &str, y: &str) -> String {
        let fields = [("x", x), ("y", y), ("topic_2", "cats")].map(|(name, text)| (name.into(), text.into()));
        Template::new(template).fill_prompt(&BTreeMap::from(fields))
    }

    #[test]
    fn a_template_takes_each_text_as_it_is() {
        assert_eq!(fill("Beginning: {x}\nEnd: {y}\nMiddle: ", "a", "b"), "Beginning: a\nEnd: b\nMiddle:");
        assert_eq!(fill("{y}{x}{y}", "{y}", "{x} "), "{x} {y}{x}");
        assert_eq!(fill("{ {z} {x", "a", "b"), "{ {z} {x");
        assert_eq!(fill("{é}{x}é", "a", "b"), "{é}aé");
        assert_eq!(fill("{x}\n", "a", "b"), "a\n");
        assert_eq!(fill("{{x}} {1} {topic_2}", "a", "b"), "{a} {1} cats");
    }

    #[test]
    fn fields_are_named_in_order() {
        assert_eq!(Template::new("{y} {z} {b}{x}").fields().collect::<Vec<_>>(), ["y", "b", "x"]);
        assert_eq!(Template::new("none { }").fields().count(), 0);
        assert_eq!(Template::with_z("{z} {b}{").fields().collect::<Vec<_>>(), ["z", "b"]);
    }
}
