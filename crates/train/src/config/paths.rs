//! The files that a config names.

use std::path::PathBuf;

use super::Config;

impl Config {
    /// All paths, to make them absolute: a run's config holds wherever it is read from.
    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let required = [&mut self.model.path, &mut self.data.path];
        let optional = [self.model.adapter.as_mut(), self.data.validation_path.as_mut()];
        required.into_iter().chain(optional.into_iter().flatten())
    }
}
