//! Training of the base weights themselves: all parameters out of a decoder, and back into it.

use amortize_engine::ops::linear;
use amortize_engine::{Precision, Tensor, Weight};

use super::Decoder;
use crate::adapter::Adapter;
use crate::parameters::{BaseParameters, Matrix, ParameterId, Vector};

/// Where the decoder holds a parameter.
pub(super) enum Place<'a> {
    Matrix(&'a mut Weight),
    Vector(&'a mut Tensor),
}

/// A parameter's number with its place.
pub(super) type Placed<'a> = (ParameterId, Place<'a>);

pub(super) fn matrix(matrix: &mut Matrix) -> Placed<'_> {
    (matrix.id, Place::Matrix(&mut matrix.weight))
}

pub(super) fn vector(vector: &mut Vector) -> Placed<'_> {
    (vector.id, Place::Vector(&mut vector.value))
}

impl Decoder {
    /// Copies of all parameters in f32. What a lower precision has rounded stays rounded.
    pub fn base_parameters(&mut self) -> BaseParameters {
        let device = self.device.clone();
        let mut copies: Vec<(ParameterId, Tensor)> = Vec::new();
        for (id, place) in self.places() {
            copies.push(match place {
                Place::Matrix(weight) => (id, device.from_host(weight.outputs(), weight.inputs(), &weight.to_host())),
                Place::Vector(value) => (id, value.clone()),
            });
        }
        copies.sort_by_key(|(id, _)| id.index());
        BaseParameters::new(copies.into_iter().map(|(_, tensor)| tensor).collect())
    }

    /// Puts `parameters`, which are this decoder's own with other values, in place of its own. Matrices are stored in
    /// `precision`.
    pub fn set_base_parameters(&mut self, parameters: &BaseParameters, precision: Precision) {
        for (id, place) in self.places() {
            match place {
                Place::Matrix(weight) => *weight = Weight::from_tensor(parameters.get(id), precision),
                Place::Vector(value) => value.clone_from(parameters.get(id)),
            }
        }
    }

    /// Adds an adapter's update to the parameters that it sits on: `W += scale B A`.
    pub fn fold(&self, adapter: &Adapter, parameters: &mut BaseParameters) {
        for projection in self.projections() {
            for site in adapter.sites_of(projection.index).iter().map(|number| &adapter.sites()[*number]) {
                let weight = parameters.get_mut(projection.weight.id);
                let (rank, outputs) = (site.a.rows(), weight.rows());
                let (b, scale) = (site.b.to_host(), adapter.config().scale());
                let mut spread = vec![0.0; rank * outputs];
                for (output, b) in site.columns.clone().zip(b.chunks_exact(rank)) {
                    b.iter().enumerate().for_each(|(r, b)| spread[r * outputs + output] = scale * b);
                }
                let spread = self.device.from_host(rank, outputs, &spread);
                linear::backward_weight(&spread, &site.a, Precision::F32, weight);
            }
        }
    }

    fn places(&mut self) -> Vec<Placed<'_>> {
        let tables = [Some(&mut self.embedding), self.positions.as_mut(), self.head.as_mut()];
        let mut places: Vec<Placed> = tables.into_iter().flatten().map(matrix).collect();
        self.blocks.iter_mut().for_each(|block| block.push_places(&mut places));
        self.final_norm.push_places(&mut places);
        places
    }
}
