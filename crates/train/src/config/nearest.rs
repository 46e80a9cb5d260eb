//! What a user who wrote a key that does not exist may have meant.

use strsim::damerau_levenshtein;

/// The section of the unknown `key`, if there is no such section and no other that it may have meant.
pub(super) fn unknown_section<'a>(key: &'a str, known: &[&str]) -> Option<&'a str> {
    let section = split(key).0;
    let is_section = section.is_empty() || known.iter().any(|known| split(known).0 == section);
    (!is_section && nearest(key, known).is_none()).then_some(section)
}

/// Ends the message for the unknown `key`: the known key that was meant or, where none is near, those to choose from.
pub(super) fn hint(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(nearest) => format!("did you mean \"{nearest}\"?"),
        None => choices(split(key).0, known),
    }
}

/// The known key that differs least, if by little: slips of the fingers, or a right name in a wrong section or in
/// none, which counts as one.
pub(super) fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = split(key).1;
    let distance = |known: &str| {
        let elsewhere = 1 + damerau_levenshtein(name, split(known).1);
        elsewhere.min(damerau_levenshtein(key, known))
    };
    let nearest = known.iter().min_by_key(|known| distance(known))?;
    let slips = 2.max(name.len() / 3);
    (distance(nearest) <= slips).then_some(*nearest)
}

/// The keys of `section` or, if there is no such section, the sections.
fn choices(section: &str, known: &[&str]) -> String {
    let keys = known.iter().filter(|key| split(key).0 == section && !section.is_empty());
    let keys: Vec<_> = keys.map(|key| split(key).1).collect();
    if !keys.is_empty() {
        return format!("[{section}] has {}", keys.join(", "));
    }
    let mut sections: Vec<_> = known.iter().map(|key| split(key).0).filter(|section| !section.is_empty()).collect();
    sections.dedup();
    format!("the sections are {}", sections.join(", "))
}

/// The section, empty for a key of none, and the name in it.
fn split(key: &str) -> (&str, &str) {
    key.split_once('.').unwrap_or(("", key))
}
