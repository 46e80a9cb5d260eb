//! Names on the command line for values of an enum.

use std::fmt::Display;

/// The value of that name.
///
/// # Errors
/// If there is none: a message with all the names that there are.
pub(crate) fn parse<T: Copy + Display>(what: &str, name: &str, all: &[T]) -> Result<T, String> {
    let found = all.iter().copied().find(|value| value.to_string() == name);
    found.ok_or_else(|| {
        let known: Vec<String> = all.iter().map(T::to_string).collect();
        format!("unknown {what} \"{name}\"; there are {}", known.join(", "))
    })
}
