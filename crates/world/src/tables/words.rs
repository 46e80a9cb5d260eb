//! Words that all of the world shares.

/// Names of women and girls.
pub const FEMALE: &[&str] = &[
    "Anna", "Mia", "Rosa", "Lily", "Emma", "Nora", "Clara", "Ella", "Ruth", "Sara", "Ivy", "Kate", "Maya", "Jane",
    "Lucy", "Amy", "Zoe", "Helen", "Grace", "Alice",
];

/// Names of men and boys.
pub const MALE: &[&str] = &[
    "Tom", "Ben", "Sam", "Max", "Leo", "Jack", "Paul", "Noah", "Adam", "Eric", "Hugo", "Oscar", "Peter", "Mark",
    "Luke", "Dan", "Finn", "Henry", "Carl", "Victor",
];

/// All names.
pub const NAMES: &[&str] = &[
    "Anna", "Mia", "Rosa", "Lily", "Emma", "Nora", "Clara", "Ella", "Ruth", "Sara", "Ivy", "Kate", "Maya", "Jane",
    "Lucy", "Amy", "Zoe", "Helen", "Grace", "Alice", "Tom", "Ben", "Sam", "Max", "Leo", "Jack", "Paul", "Noah", "Adam",
    "Eric", "Hugo", "Oscar", "Peter", "Mark", "Luke", "Dan", "Finn", "Henry", "Carl", "Victor",
];

/// Relations, each after "his" or "her".
pub const HELPERS: &[&str] = &[
    "mother",
    "father",
    "sister",
    "brother",
    "aunt",
    "uncle",
    "grandmother",
    "grandfather",
    "teacher",
    "neighbor",
    "cousin",
    "best friend",
];

/// How a thing looks.
pub const LOOKS: &[&str] = &["red", "blue", "green", "yellow", "black", "white", "brown", "old", "small", "big"];

/// Good feelings.
pub const GLAD: &[&str] = &["happy", "glad", "delighted", "thankful", "pleased", "relieved"];

/// Bad feelings.
pub const SAD: &[&str] = &["sad", "upset", "unhappy", "disappointed", "gloomy"];
