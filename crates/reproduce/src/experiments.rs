//! The experiments, a file each.

mod continuation;
mod infill;
mod rng;

use crate::experiment::{Experiment, Method};
use crate::name::Name;

/// The base model as it is: nothing is trained.
const BASE: Method = Method::new("base", &["train.method=prompt"]);

/// The experiment of a name.
pub(crate) fn of(name: Name) -> Box<dyn Experiment> {
    match name {
        Name::Rng => Box::new(rng::Rng),
        Name::Continuation => Box::new(continuation::Continuation),
        Name::Infill => Box::new(infill::Infill),
    }
}
