//! AdamW (Loshchilov and Hutter 2019) with its state in the open.

use crate::Tensor;
use crate::cpu::rows;

/// What the user sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay, times the learning rate at each step.
    pub weight_decay: f32,
}

/// Moments of one parameter.
#[derive(Clone, Debug)]
pub struct Moments {
    /// Running mean of gradients; the parameter's shape.
    pub first: Tensor,
    /// Running mean of squared gradients; the parameter's shape.
    pub second: Tensor,
}

impl Moments {
    /// Zeros in the shape of `parameter`.
    pub fn zeros_like(parameter: &Tensor) -> Self {
        let zeros = || parameter.device().zeros(parameter.rows(), parameter.cols());
        Self { first: zeros(), second: zeros() }
    }
}

impl AdamW {
    /// One update of one parameter; `step` counts from 1.
    pub fn update(
        &self,
        parameter: &mut Tensor,
        gradient: &Tensor,
        moments: &mut Moments,
        learning_rate: f32,
        step: u64,
    ) {
        let correction = |beta: f32| 1.0 - (beta as f64).powf(step as f64);
        let step_size = (learning_rate as f64 / correction(self.beta1)) as f32;
        let root_correction = correction(self.beta2).sqrt() as f32;
        let Moments { first, second } = moments;
        let (beta1, beta2) = (self.beta1, self.beta2);
        rows::for_each_pair(
            first,
            second,
            #[inline(always)]
            |row, first, second| {
                for ((m, v), g) in first.iter_mut().zip(second).zip(gradient.row(row)) {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                }
            },
        );
        rows::for_each(
            parameter,
            #[inline(always)]
            |row, parameter| {
                for ((p, m), v) in parameter.iter_mut().zip(first.row(row)).zip(second.row(row)) {
                    *p -= learning_rate * self.weight_decay * *p;
                    *p -= step_size * m / (v.sqrt() / root_correction + self.epsilon);
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    /// torch 2.x: `AdamW([p], lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.01)` from p = [1, -2] with gradients
    /// 2p at each of three steps. The arithmetic is redone here in f64 by the definition.
    #[test]
    fn follows_the_definition() {
        let device = Device::cpu();
        let adamw = AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.01 };
        let mut p = device.from_host(1, 2, &[1.0, -2.0]);
        let mut moments = Moments::zeros_like(&p);
        let (mut x, mut m, mut v) = ([1.0f64, -2.0], [0.0f64; 2], [0.0f64; 2]);
        for step in 1..=3 {
            let g = device.from_host(1, 2, &[2.0 * p.host()[0], 2.0 * p.host()[1]]);
            adamw.update(&mut p, &g, &mut moments, 0.1, step);
            for i in 0..2 {
                let g = 2.0 * x[i];
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.99 * v[i] + 0.01 * g * g;
                let (mh, vh) = (m[i] / (1.0 - 0.9f64.powi(step as i32)), v[i] / (1.0 - 0.99f64.powi(step as i32)));
                x[i] -= 0.1 * 0.01 * x[i];
                x[i] -= 0.1 * mh / (vh.sqrt() + 1e-8);
            }
        }
        for (p, x) in p.host().iter().zip(x) {
            assert!((*p as f64 - x).abs() < 1e-6);
        }
    }
}
