//! Rotary position embedding (Su et al. 2021) in the half-split form of the Llama family: channels i and
//! i + d/2 of a head form a pair, rotated by depth times the pair's frequency.

use std::ops::Range;

use crate::cpu::rows;
use crate::{Device, Tensor};

/// Cosines and sines by position.  `[positions, head_dim / 2]` each
#[derive(Clone, Debug)]
pub struct RopeTable {
    cos: Tensor,
    sin: Tensor,
}

impl RopeTable {
    /// The table for positions `0..positions`, from the inverse frequency of every pair.  `[head_dim / 2]`
    pub fn new(device: &Device, positions: usize, inverse_frequencies: &[f32]) -> Self {
        let angles = |f: fn(f32) -> f32| -> Vec<f32> {
            let row = |position: usize| inverse_frequencies.iter().map(move |w| f(position as f32 * w));
            (0..positions).flat_map(row).collect()
        };
        let half = inverse_frequencies.len();
        Self {
            cos: device.from_host(positions, half, &angles(f32::cos)),
            sin: device.from_host(positions, half, &angles(f32::sin)),
        }
    }

    /// Number of positions in the table.
    pub fn positions(&self) -> usize {
        self.cos.rows()
    }
}

/// Which way to turn.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    Forward,
    Back,
}

/// Rotates the heads in `columns` of every row by the row's depth, in place.
pub fn forward(x: &mut Tensor, columns: Range<usize>, depths: &[u32], table: &RopeTable) {
    rotate(x, columns, depths, table, Turn::Forward);
}

/// The derivative of a rotation is the rotation back, in place of dy.
pub fn backward(dy: &mut Tensor, columns: Range<usize>, depths: &[u32], table: &RopeTable) {
    rotate(dy, columns, depths, table, Turn::Back);
}

fn rotate(x: &mut Tensor, columns: Range<usize>, depths: &[u32], table: &RopeTable, turn: Turn) {
    assert_eq!(x.rows(), depths.len());
    let half = table.cos.cols();
    let sign = if turn == Turn::Forward { 1.0 } else { -1.0 };
    rows::for_each(
        x,
        #[inline(always)]
        |row, x| {
            let (cos, sin) = (table.cos.row(depths[row] as usize), table.sin.row(depths[row] as usize));
            for head in x[columns.clone()].chunks_exact_mut(2 * half) {
                let (low, high) = head.split_at_mut(half);
                for (((a, b), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                    let sin = sin * sign;
                    (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
                }
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{gradient, tensor, weighted_sum};

    #[test]
    fn passes_finite_differences() {
        let table = RopeTable::new(&Device::cpu(), 9, &[1.0, 0.3]);
        let (x, c, depths) = (tensor(1, 3, 10), tensor(2, 3, 10), [0, 3, 8]);
        let turned = |x: &Tensor| {
            let mut y = x.clone();
            forward(&mut y, 0..8, &depths, &table);
            y
        };
        let mut dx = c.clone();
        backward(&mut dx, 0..8, &depths, &table);
        gradient(&x, &dx, |x| weighted_sum(&turned(x), &c));
        assert_eq!(turned(&x).host()[8..10], x.host()[8..10], "columns outside the range stay");
    }
}
