//! What this architecture has instructions for: products of pairs of bf16 (AVX512-BF16), and fast transposes (AVX-512). What AMX and AVX2
//! have instructions for is in files of their own.

#[path = "native_x86_amx.rs"]
mod amx;
#[path = "native_x86_avx2.rs"]
mod avx2;

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _MM_HINT_ET0, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch, _mm512_castps_si512,
    _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_mask_storeu_epi32, _mm512_maskz_loadu_ps, _mm512_mul_ps,
    _mm512_permutex2var_epi16, _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64,
};
use std::mem::transmute;
use std::ops::Range;

use super::WIDTH;
use super::ahead::{Requests, STEPS};
use super::kernel::{PanelProduct, Term, with_height};
use super::steps::TileRow;
use super::store::{Line, PairLine};
use crate::cpu::arch::{self, Bf16};

/// Numbers of a row that are asked for before they are read: rows are packed a few at a time, and each is far from the next.
const AHEAD: usize = 128;

/// Numbers of 32 bits in a vector.
const LANES: usize = 16;

/// `y[:, columns] = start + x lines` for the rows of some tiles.
pub(super) fn run_pairs(product: &PanelProduct<PairLine, u32>) {
    assert!(arch::bf16() == Bf16::Pairs, "rows are packed as pairs only where the CPU multiplies them");
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { all_tiles(product) }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn all_tiles(product: &PanelProduct<PairLine, u32>) {
    struct Tiles<'a, 'b>(&'a PanelProduct<'b, PairLine, u32>);
    impl Tiles<'_, '_> {
        #[target_feature(enable = "avx512f,avx512bf16")]
        fn tile<const M: usize>(&self, i: usize) {
            let (product, tile) = (self.0, &self.0.tiles[i]);
            for (row, sums) in tile.clone().zip(&sums::<M>(product.terms, tile, product.requests(i, product.times()))) {
                product.finish(row, sums);
            }
        }
    }
    let tiles = Tiles(product);
    for (i, tile) in product.tiles.iter().enumerate() {
        with_height!(tile.len(), tiles.tile::<_>(i));
    }
}

/// The sums of a tile's M rows with one panel, over pairs of inputs of all terms.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn sums<const M: usize>(
    terms: &[Term<PairLine, u32>],
    tile: &Range<usize>,
    mut requests: Requests,
) -> [[f32; WIDTH]; M] {
    let mut sums = [[_mm512_setzero_ps(); 2]; M];
    for term in terms {
        let (x, _) = term.of(tile).as_chunks::<M>();
        for (x, lines) in x.chunks(STEPS).zip(term.lines.chunks(STEPS)) {
            requests.ask();
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
        }
    }
    let mut lines = [[0.0; WIDTH]; M];
    for (line, sums) in lines.iter_mut().zip(sums) {
        // SAFETY: two vectors of 16 are 32 values.
        *line = unsafe { transmute::<[__m512; 2], [f32; WIDTH]>(sums) };
    }
    lines
}

/// The same by matrix registers.
pub(super) fn run_tiles(product: &PanelProduct<PairLine, TileRow>) {
    assert!(arch::bf16() == Bf16::Tiles, "rows are packed for matrix registers only where the CPU has them");
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { amx::all_tiles(product) }
}

/// Whether the CPU converts vectors to bf16.
fn converts_to_bf16() -> bool {
    arch::bf16() != Bf16::Widened
}

/// Asks for a cache line to be brought to the second-level cache.
#[inline(always)]
pub(super) fn fetch(address: usize) {
    // SAFETY: asking for any address is allowed; nothing is read.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(address as *const i8) };
}

/// Asks for a cache line to be brought to the first-level cache, to be written.
#[inline(always)]
pub(super) fn fetch_to_write(address: usize) {
    // SAFETY: asking for any address is allowed; nothing is read or written.
    unsafe { _mm_prefetch::<_MM_HINT_ET0>(address as *const i8) };
}

/// Whether there are fast transposes of f32.
pub(super) fn has_transposes() -> bool {
    arch::is_avx512() || arch::is_avx2()
}

/// A tile of scaled rows in the order in which a kernel reads it.  `[row]` to `[value, row]`
pub(super) fn pack_singles<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [f32]) {
    if arch::is_avx2() {
        // SAFETY: the CPU has the features, as just asked.
        return unsafe { avx2::pack_singles(height, row, scale, to) };
    }
    assert!(arch::is_avx512() && height <= LANES);
    // SAFETY: the CPU has the features, as just asserted, and numbers of 32 bits are numbers of 32 bits.
    unsafe {
        let to = std::slice::from_raw_parts_mut(to.as_mut_ptr().cast::<u32>(), to.len());
        pack(height, to, |group| block_of_singles(height, &row, group * LANES, scale));
    }
}

/// The same as pairs of bf16.  `[row]` to `[pair, row]`
pub(super) fn pack_pairs<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [u32]) {
    assert!(converts_to_bf16() && height <= LANES);
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { pack(height, to, |group| block_of_pairs(height, &row, 2 * group * LANES, scale)) }
}

/// Columns of scaled rows, two rows at a time, as pairs of bf16: `row(i)` begins with a tile's `height` columns of row i, or is empty past
/// the last.  `[row]` to `[pair of rows, column]`
pub(super) fn pack_column_pairs<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [u32]) {
    assert!(converts_to_bf16() && height <= LANES);
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { column_pairs(height, row, scale, to) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn column_pairs<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [u32]) {
    let mask = ((1u32 << height) - 1) as u16;
    for (i, to) in to.chunks_exact_mut(height).enumerate() {
        let pairs = pairs(row(2 * i), row(2 * i + 1), 0, scale);
        // SAFETY: the mask lets as many numbers through as there are columns.
        unsafe { _mm512_mask_storeu_epi32(to.as_mut_ptr().cast(), mask, pairs) };
    }
}

/// A tile of scaled rows as rows of matrix registers.  `[row]` to `[32 values, row]`
pub(super) fn pack_tile_rows<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [TileRow]) {
    assert!(converts_to_bf16());
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { amx::tile_rows(height, row, scale, to) }
}

/// The same of columns, 32 rows at a time: `row(i)` as in [`pack_column_pairs`].  `[row]` to `[32 rows, column]`
pub(super) fn pack_column_tile_rows<'a>(
    height: usize,
    row: impl Fn(usize) -> &'a [f32],
    scale: f32,
    to: &mut [TileRow],
) {
    assert!(converts_to_bf16());
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { amx::column_tile_rows(height, row, scale, to) }
}

/// Appends lines of two rows each, as pairs of bf16: `row(i)` begins with up to 32 columns of row i, or is empty past the last.
pub(super) fn pair_lines<'a>(count: usize, row: impl Fn(usize) -> &'a [f32], to: &mut Vec<PairLine>) {
    assert!(converts_to_bf16());
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { all_pair_lines(count, row, to) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
fn all_pair_lines<'a>(count: usize, row: impl Fn(usize) -> &'a [f32], to: &mut Vec<PairLine>) {
    for i in 0..count {
        let (even, odd) = (row(2 * i), row(2 * i + 1));
        let halves = [pairs(even, odd, 0, 1.0), pairs(even, odd, LANES, 1.0)];
        // SAFETY: two vectors of 16 numbers of 32 bits are a line.
        to.push(unsafe { transmute::<[__m512i; 2], PairLine>(halves) });
    }
}

/// The first 16 numbers of 16 bits and the last 16, in turn.
const IN_TURN: [u16; 2 * LANES] = {
    let mut order = [0; 2 * LANES];
    let mut i = 0;
    while i < LANES {
        (order[2 * i], order[2 * i + 1]) = (i as u16, (i + LANES) as u16);
        i += 1;
    }
    order
};

/// 16 scaled columns of two rows from `first` on, in pairs.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
#[inline]
fn pairs(even: &[f32], odd: &[f32], first: usize, scale: f32) -> __m512i {
    let both = _mm512_cvtne2ps_pbh(scaled(odd, first, scale), scaled(even, first, scale));
    // SAFETY: 32 numbers of 16 bits are a vector.
    let (in_turn, both) =
        unsafe { (transmute::<[u16; 2 * LANES], __m512i>(IN_TURN), transmute::<__m512bh, __m512i>(both)) };
    _mm512_permutexvar_epi16(in_turn, both)
}

/// 16 values of a row from `first` on, scaled; zeros past its end.
#[target_feature(enable = "avx512f")]
#[inline]
fn scaled(row: &[f32], first: usize, scale: f32) -> __m512 {
    let rest = &row[first.min(row.len())..];
    _mm_prefetch::<_MM_HINT_T0>(rest.as_ptr().wrapping_add(AHEAD).cast());
    let mask = ((1u32 << rest.len().min(LANES)) - 1) as u16;
    // SAFETY: the mask keeps the load within the row.
    _mm512_mul_ps(_mm512_set1_ps(scale), unsafe { _mm512_maskz_loadu_ps(mask, rest.as_ptr()) })
}

/// Transposes rows, 16 steps at a time; `block(i)` gives the i-th 16 of every row. A block at a time, because what is called here is
/// compiled by itself if it uses more of the CPU.
#[target_feature(enable = "avx512f")]
fn pack(height: usize, to: &mut [u32], block: impl Fn(usize) -> [__m512i; LANES]) {
    let mask = ((1u32 << height) - 1) as u16;
    for (group, to) in to.chunks_mut(LANES * height).enumerate() {
        for (to, vector) in to.chunks_exact_mut(height).zip(transposed(block(group))) {
            // SAFETY: the mask lets as many numbers through as there are rows.
            unsafe { _mm512_mask_storeu_epi32(to.as_mut_ptr().cast(), mask, vector) };
        }
    }
}

/// 16 values of every row from `first` on; zeros past the last row.
#[target_feature(enable = "avx512f")]
fn block_of_singles<'a>(
    height: usize,
    row: &impl Fn(usize) -> &'a [f32],
    first: usize,
    scale: f32,
) -> [__m512i; LANES] {
    let mut block = [_mm512_setzero_si512(); LANES];
    for (i, vector) in block[..height].iter_mut().enumerate() {
        *vector = _mm512_castps_si512(scaled(row(i), first, scale));
    }
    block
}

/// 16 pairs of every row from value `first` on, as bf16; zeros past the last row.
#[target_feature(enable = "avx512f,avx512bf16")]
fn block_of_pairs<'a>(height: usize, row: &impl Fn(usize) -> &'a [f32], first: usize, scale: f32) -> [__m512i; LANES] {
    let mut block = [_mm512_setzero_si512(); LANES];
    for (i, vector) in block[..height].iter_mut().enumerate() {
        let (low, high) = (scaled(row(i), first, scale), scaled(row(i), first + LANES, scale));
        // SAFETY: 32 numbers of 16 bits are a vector.
        *vector = unsafe { transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) };
    }
    block
}

/// Lines of 32 inputs as lines of 32 outputs.
pub(super) fn transpose_lines(from: &[Line; WIDTH], to: &mut [Line; WIDTH]) {
    if arch::is_avx2() {
        // SAFETY: the CPU has the features, as just asked.
        return unsafe { avx2::transpose_lines(from, to) };
    }
    assert!(arch::is_avx512());
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { transpose_lines_avx512(from, to) };
}

/// Pairs over 32 inputs as pairs over 32 outputs.
pub(super) fn transpose_pairs(from: &[PairLine; WIDTH / 2], to: &mut [PairLine; WIDTH / 2]) {
    assert!(arch::is_avx512());
    // SAFETY: the CPU has the features, as just asserted.
    unsafe { transpose_pairs_avx512(from, to) };
}

#[target_feature(enable = "avx512f,avx512bw")]
fn transpose_lines_avx512(from: &[Line; WIDTH], to: &mut [Line; WIDTH]) {
    type Vectors = [[__m512i; 2]; WIDTH];
    // SAFETY: a line is two vectors of 16 numbers of 32 bits, and any bits are numbers.
    let (from, to) = unsafe { (transmute::<&_, &Vectors>(from), transmute::<&mut _, &mut Vectors>(to)) };
    for row in 0..2 {
        for col in 0..2 {
            let block = transposed(std::array::from_fn(|i| from[16 * row + i][col]));
            for (i, vector) in block.into_iter().enumerate() {
                to[16 * col + i][row] = vector;
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn transpose_pairs_avx512(from: &[PairLine; WIDTH / 2], to: &mut [PairLine; WIDTH / 2]) {
    type Vectors = [[__m512i; 2]; WIDTH / 2];
    // SAFETY: as above.
    let (from, to) = unsafe { (transmute::<&_, &Vectors>(from), transmute::<&mut _, &mut Vectors>(to)) };
    // Of two outputs with 32 inputs each: the numbers of the first 16 inputs side by side, then of the last 16.
    let index = |first: u16| -> [u16; 32] { std::array::from_fn(|i| first + i as u16 / 2 + 32 * (i as u16 % 2)) };
    // SAFETY: 32 numbers of 16 bits are a vector, and so twice 32 are two.
    let [low, high] = unsafe { transmute::<[[u16; 32]; 2], [__m512i; 2]>([index(0), index(16)]) };
    for half in 0..2 {
        let outputs = transposed(std::array::from_fn(|i| from[i][half]));
        for (i, pair) in outputs.chunks_exact(2).enumerate() {
            to[8 * half + i] = [low, high].map(|index| _mm512_permutex2var_epi16(pair[0], index, pair[1]));
        }
    }
}

/// 16 vectors of 16 numbers, transposed.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(x: [__m512i; 16]) -> [__m512i; 16] {
    // Within groups of four lanes: first pairs, then fours.
    let mut pairs = x;
    for i in 0..8 {
        pairs[2 * i] = _mm512_unpacklo_epi32(x[2 * i], x[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(x[2 * i], x[2 * i + 1]);
    }
    let mut fours = x;
    for i in 0..4 {
        let [a, b, c, d] = [pairs[4 * i], pairs[4 * i + 1], pairs[4 * i + 2], pairs[4 * i + 3]];
        fours[4 * i] = _mm512_unpacklo_epi64(a, c);
        fours[4 * i + 1] = _mm512_unpackhi_epi64(a, c);
        fours[4 * i + 2] = _mm512_unpacklo_epi64(b, d);
        fours[4 * i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    // Then the groups of four lanes: `fours[4 i + j]` holds rows 4 i .. 4 i + 4 of columns j, j + 4, j + 8, j + 12.
    let mut to = x;
    for j in 0..4 {
        let even = _mm512_shuffle_i32x4::<0x88>(fours[j], fours[4 + j]);
        let odd = _mm512_shuffle_i32x4::<0xdd>(fours[j], fours[4 + j]);
        let even_high = _mm512_shuffle_i32x4::<0x88>(fours[8 + j], fours[12 + j]);
        let odd_high = _mm512_shuffle_i32x4::<0xdd>(fours[8 + j], fours[12 + j]);
        to[j] = _mm512_shuffle_i32x4::<0x88>(even, even_high);
        to[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd, odd_high);
        to[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even, even_high);
        to[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_high);
    }
    to
}
