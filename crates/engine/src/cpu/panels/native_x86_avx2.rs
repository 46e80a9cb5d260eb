//! Transposes for AVX2: 8 x 8 numbers at a time.

use std::arch::x86_64::{
    __m256, _mm256_loadu_ps, _mm256_mul_ps, _mm256_permute2f128_ps, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps,
};

use super::super::WIDTH;
use super::super::store::Line;

/// Numbers in a vector.
const LANES: usize = 8;

/// A tile of scaled rows in the order in which a kernel reads it.  `[row]` to `[value, row]`
#[target_feature(enable = "avx2")]
pub(super) fn pack_singles<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [f32]) {
    assert!(height <= LANES);
    for first in (0..to.len() / height).step_by(LANES) {
        let mut block = [_mm256_setzero_ps(); LANES];
        for (i, vector) in block[..height].iter_mut().enumerate() {
            *vector = _mm256_mul_ps(_mm256_set1_ps(scale), load(&row(i)[first..]));
        }
        store_columns(height, transposed(block), &mut to[first * height..]);
    }
}

/// Up to 8 numbers; zeros past the end.
#[target_feature(enable = "avx2")]
#[inline]
fn load(from: &[f32]) -> __m256 {
    let mut padded = [0.0; LANES];
    let from = match from.len() {
        ..LANES => {
            padded[..from.len()].copy_from_slice(from);
            &padded
        }
        _ => from,
    };
    // SAFETY: there are 8 numbers.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

/// The first `height` numbers of every vector, one vector after the other, as far as there is room.
#[target_feature(enable = "avx2")]
#[inline]
fn store_columns(height: usize, vectors: [__m256; LANES], to: &mut [f32]) {
    for (i, vector) in vectors.into_iter().enumerate() {
        let first = to.len().min(i * height);
        let to = &mut to[first..];
        if to.len() >= LANES {
            // What is too much is overwritten by the next vector.
            // SAFETY: there is room for 8 numbers.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), vector) };
        } else {
            let mut padded = [0.0; LANES];
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(padded.as_mut_ptr(), vector) };
            let len = to.len().min(height);
            to[..len].copy_from_slice(&padded[..len]);
        }
    }
}

/// Lines of 32 inputs as lines of 32 outputs.
#[target_feature(enable = "avx2")]
pub(super) fn transpose_lines(from: &[Line; WIDTH], to: &mut [Line; WIDTH]) {
    for row in (0..WIDTH).step_by(LANES) {
        for col in (0..WIDTH).step_by(LANES) {
            let mut block = [_mm256_setzero_ps(); LANES];
            for (vector, from) in block.iter_mut().zip(&from[row..row + LANES]) {
                // SAFETY: there are 8 numbers.
                *vector = unsafe { _mm256_loadu_ps(from.0[col..col + LANES].as_ptr()) };
            }
            for (to, vector) in to[col..col + LANES].iter_mut().zip(transposed(block)) {
                // SAFETY: as above.
                unsafe { _mm256_storeu_ps(to.0[row..row + LANES].as_mut_ptr(), vector) };
            }
        }
    }
}

/// 8 vectors of 8 numbers, transposed.
#[target_feature(enable = "avx2")]
#[inline]
fn transposed(x: [__m256; LANES]) -> [__m256; LANES] {
    // Within groups of four lanes: first pairs, then fours.
    let mut pairs = x;
    for i in 0..4 {
        pairs[2 * i] = _mm256_unpacklo_ps(x[2 * i], x[2 * i + 1]);
        pairs[2 * i + 1] = _mm256_unpackhi_ps(x[2 * i], x[2 * i + 1]);
    }
    let mut fours = x;
    for i in 0..2 {
        let [a, b, c, d] = [pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]];
        fours[4 * i] = _mm256_shuffle_ps::<0x44>(a, c);
        fours[4 * i + 1] = _mm256_shuffle_ps::<0xee>(a, c);
        fours[4 * i + 2] = _mm256_shuffle_ps::<0x44>(b, d);
        fours[4 * i + 3] = _mm256_shuffle_ps::<0xee>(b, d);
    }
    // Then the groups: `fours[4 i + j]` holds rows 4 i .. 4 i + 4 of columns j and j + 4.
    let mut to = x;
    for j in 0..4 {
        to[j] = _mm256_permute2f128_ps::<0x20>(fours[j], fours[4 + j]);
        to[4 + j] = _mm256_permute2f128_ps::<0x31>(fours[j], fours[4 + j]);
    }
    to
}
