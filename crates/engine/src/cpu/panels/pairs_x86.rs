//! Products of pairs of bf16 with the AVX512-BF16 instructions.

use std::arch::x86_64::{__m512, __m512bh, _mm512_dpbf16_ps, _mm512_set1_epi32, _mm512_setzero_ps};
use std::mem::transmute;
use std::ops::Range;

use super::WIDTH;
use super::kernel::{PanelProduct, with_height};
use super::store::PairLine;
use crate::cpu::arch;

/// `y[:, columns] = start + x lines` for all rows.
pub(super) fn run(product: &PanelProduct<PairLine, u32>) {
    assert!(arch::multiplies_pairs(), "rows are packed as pairs only where the CPU multiplies them");
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { all_tiles(product) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn all_tiles(product: &PanelProduct<PairLine, u32>) {
    struct Tiles<'a, 'b>(&'a PanelProduct<'b, PairLine, u32>);
    impl Tiles<'_, '_> {
        #[target_feature(enable = "avx512f,avx512bf16")]
        fn tile<const M: usize>(&self, tile: &Range<usize>) {
            self.0.tile(tile, |x: &[[u32; M]], lines| sums(x, lines));
        }
    }
    let tiles = Tiles(product);
    for tile in &product.x.tiles {
        with_height!(tile.len(), tiles.tile::<_>(tile));
    }
}

/// The sums of M rows with one panel, over pairs of inputs.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn sums<const M: usize>(x: &[[u32; M]], lines: &[PairLine]) -> [[f32; WIDTH]; M] {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    for (x, line) in x.iter().zip(lines) {
        // SAFETY: 32 values of 32 bits are two vectors of 16, and any bits are numbers.
        let weights: [__m512bh; 2] = unsafe { transmute(line.0) };
        for (x, sums) in x.iter().zip(&mut sums) {
            // SAFETY: as above.
            let x: __m512bh = unsafe { transmute(_mm512_set1_epi32(*x as i32)) };
            sums[0] = _mm512_dpbf16_ps(sums[0], x, weights[0]);
            sums[1] = _mm512_dpbf16_ps(sums[1], x, weights[1]);
        }
    }
    sums.map(|sums: [__m512; 2]| {
        // SAFETY: two vectors of 16 are 32 values.
        unsafe { transmute::<[__m512; 2], [f32; WIDTH]>(sums) }
    })
}
