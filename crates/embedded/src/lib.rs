//! The models that the program carries with it, as the files of a Hugging Face directory.

/// A model directory within the program.
#[derive(Debug)]
pub struct Model {
    /// What it is called after `embedded:`.
    pub name: &'static str,
    /// Its files: name and contents.
    pub files: &'static [(&'static str, &'static [u8])],
}

impl Model {
    /// The contents of a file.
    pub fn file(&self, name: &str) -> Option<&'static [u8]> {
        self.files.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
    }
}

macro_rules! model {
    ($name:literal: $($file:literal),*) => {
        Model { name: $name, files: &[$(($file, include_bytes!(concat!("../models/", $name, "/", $file)))),*] }
    };
}

/// All models. How each was made is in `crates/embedded/models/NAME/README.md`.
pub const MODELS: &[Model] =
    &[model!("tiny": "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")];
