//! Products by matrix registers (AMX): 16 rows of 32 bf16 times 32 rows of 16 columns in one instruction.
//!
//! Rust has no stable intrinsics for them, so that the instructions are written out. Registers keep their values from one block of assembly to
//! the next: the compiler is not told of them and never uses them, and nothing that is called in between does. The intrinsics
//! of C compilers rest on the same.

use std::arch::asm;
use std::arch::x86_64::{
    __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_si512,
};
use std::mem::transmute;

use super::super::WIDTH;
use super::super::kernel::PanelProduct;
use super::super::steps::TileRow;
use super::super::store::PairLine;
use super::{LANES, pairs, transposed};

/// Rows of a register.
const ROWS: usize = 16;
/// Lines of pairs that one instruction multiplies: the rows of two registers side by side.
const LINES: usize = 16;
/// Bytes from a row of sums to the next.
const SUMS: usize = WIDTH * size_of::<f32>();

/// The sums of a tile of rows with a panel.
#[repr(C, align(64))]
struct Sums([[f32; WIDTH]; 2 * ROWS]);

/// What the CPU is told of its registers' shapes.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_of_row: [u16; 16],
    rows: [u8; 16],
}

/// Gives the registers their shapes for tiles of so many rows: 0 and 1 hold the sums of the first 16 rows with both halves of a panel, 2 and
/// 3 those of the other rows, 4 and 5 the rows, 6 and 7 the halves of a panel.
fn shape(height: usize) {
    let (upper, lower) = (height.min(ROWS), height.saturating_sub(ROWS));
    let mut shapes = Shapes { palette: 1, start_row: 0, reserved: [0; 14], bytes_of_row: [0; 16], rows: [0; 16] };
    let rows = [upper, upper, lower, lower, upper, lower, LINES, LINES];
    for (register, rows) in rows.into_iter().enumerate().filter(|(_, rows)| *rows > 0) {
        shapes.rows[register] = rows as u8;
        shapes.bytes_of_row[register] = size_of::<TileRow>() as u16;
    }
    // SAFETY: the CPU has the registers, and this is a valid description of eight of them.
    unsafe { asm!("ldtilecfg [{shapes}]", shapes = in(reg) &shapes, options(nostack, readonly)) };
}

/// `y[:, columns] = start + x lines` for the rows of some tiles.
#[target_feature(enable = "avx512f")]
pub(super) fn all_tiles(product: &PanelProduct<PairLine, TileRow>) {
    let (mut shaped_for, mut sums) = (0, Sums([[0.0; WIDTH]; 2 * ROWS]));
    for (i, tile) in product.tiles.iter().enumerate() {
        if tile.len() != shaped_for {
            shape(tile.len());
            shaped_for = tile.len();
        }
        match tile.len() > ROWS {
            true => sum::<true>(product, i, &mut sums),
            false => sum::<false>(product, i, &mut sums),
        }
        for (row, sums) in tile.clone().zip(&sums.0) {
            product.finish(row, sums);
        }
    }
    // SAFETY: nobody needs the registers' values any more. As long as they have some, a switch to another process takes longer.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// The sums of tile number `i`, which has more than 16 rows if it is `HIGH`.
#[target_feature(enable = "avx512f")]
#[inline]
fn sum<const HIGH: bool>(product: &PanelProduct<PairLine, TileRow>, i: usize, sums: &mut Sums) {
    let tile = &product.tiles[i];
    let steps: usize = product.terms.iter().map(|term| term.steps.len()).sum();
    let (mut requests, mut results) = (product.requests(i, steps), product.results(i, steps));
    // SAFETY: the registers have shapes.
    unsafe { asm!("tilezero tmm0", "tilezero tmm1", options(nostack, nomem)) };
    if HIGH {
        // SAFETY: as above.
        unsafe { asm!("tilezero tmm2", "tilezero tmm3", options(nostack, nomem)) };
    }
    for term in product.terms {
        for (x, lines) in term.of(tile).chunks_exact(tile.len()).zip(term.lines.chunks(LINES)) {
            requests.ask();
            results.ask();
            match lines.first_chunk() {
                Some(lines) => add::<HIGH>(x, lines),
                None => add::<HIGH>(x, &padded(lines)),
            }
        }
    }
    let to = sums.0.as_mut_ptr();
    // SAFETY: two registers side by side have at most 16 rows of as many columns as a panel.
    unsafe {
        asm!(
            "tilestored [{to} + {stride}], tmm0", "tilestored [{to} + {stride} + 64], tmm1",
            to = in(reg) to, stride = in(reg) SUMS, options(nostack),
        );
    }
    if HIGH {
        // SAFETY: as above; these belong to the other 16 rows.
        unsafe {
            asm!(
                "tilestored [{to} + {stride}], tmm2", "tilestored [{to} + {stride} + 64], tmm3",
                to = in(reg) to.add(ROWS), stride = in(reg) SUMS, options(nostack),
            );
        }
    }
}

/// Adds the product of one step of a tile's rows with its lines. All loads come first: where another thread has the core's other half, a
/// register that is still read cannot be loaded meanwhile.
#[inline(always)]
fn add<const HIGH: bool>(x: &[TileRow], lines: &[PairLine; LINES]) {
    assert!(x.len() > if HIGH { ROWS } else { 0 });
    if HIGH {
        // SAFETY: a register of rows is read where they lie one after the other, as many as its shape has, which are the tile's first 16 and the
        // others.
        unsafe {
            asm!(
                "tileloadd tmm4, [{x} + {row}]",
                "tileloadd tmm5, [{x} + {row} + 1024]",
                x = in(reg) x.as_ptr(), row = in(reg) size_of::<TileRow>(), options(nostack, readonly),
            );
        }
    } else {
        // SAFETY: as above, all the tile's rows.
        unsafe {
            asm!(
                "tileloadd tmm4, [{x} + {row}]",
                x = in(reg) x.as_ptr(), row = in(reg) size_of::<TileRow>(), options(nostack, readonly),
            );
        }
    }
    // SAFETY: the registers have shapes, and those of lines are read where 16 rows lie a line apart.
    unsafe {
        asm!(
            "tileloadd tmm6, [{lines} + {line}]",
            "tileloadd tmm7, [{lines} + {line} + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            lines = in(reg) lines, line = in(reg) size_of::<PairLine>(), options(nostack, readonly),
        );
    }
    if HIGH {
        // SAFETY: the registers have shapes.
        unsafe { asm!("tdpbf16ps tmm2, tmm5, tmm6", "tdpbf16ps tmm3, tmm5, tmm7", options(nostack, nomem)) };
    }
}

/// Fewer lines than a step has, and zeros.
#[cold]
fn padded(lines: &[PairLine]) -> [PairLine; LINES] {
    let mut padded = [PairLine::ZERO; LINES];
    padded[..lines.len()].copy_from_slice(lines);
    padded
}

/// Scaled rows as rows of registers.  `[row]` to `[32 values, row]`
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) fn tile_rows<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [TileRow]) {
    for i in 0..height {
        let (whole, rest) = row(i).as_chunks::<{ 2 * LANES }>();
        let mut to = to[i..].iter_mut().step_by(height);
        for (chunk, to) in whole.iter().zip(to.by_ref()) {
            *to = tile_row(chunk, scale);
        }
        if let Some(to) = to.next() {
            let mut chunk = [0.0; 2 * LANES];
            chunk[..rest.len()].copy_from_slice(rest);
            *to = tile_row(&chunk, scale);
        }
    }
}

/// 32 scaled values as bf16.
#[target_feature(enable = "avx512f,avx512bf16")]
#[inline]
fn tile_row(values: &[f32; 2 * LANES], scale: f32) -> TileRow {
    // SAFETY: 32 numbers are two vectors.
    let halves = unsafe { [0, LANES].map(|first| _mm512_loadu_ps(values[first..].as_ptr())) };
    let [low, high] = halves.map(|half| _mm512_mul_ps(_mm512_set1_ps(scale), half));
    // SAFETY: 32 numbers of 16 bits are 16 of 32, and any bits are numbers.
    TileRow(unsafe { transmute::<__m512bh, [u32; LANES]>(_mm512_cvtne2ps_pbh(high, low)) })
}

/// Columns of scaled rows, 32 rows at a time: `row(i)` is empty past the last.  `[row]` to `[32 rows, column]`
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) fn column_tile_rows<'a>(height: usize, row: impl Fn(usize) -> &'a [f32], scale: f32, to: &mut [TileRow]) {
    for (step, to) in to.chunks_exact_mut(height).enumerate() {
        for (half, to) in to.chunks_mut(LANES).enumerate() {
            let mut block = [_mm512_setzero_si512(); LANES];
            for (i, vector) in block.iter_mut().enumerate() {
                let first = 2 * (step * LANES + i);
                *vector = pairs(row(first), row(first + 1), half * LANES, scale);
            }
            for (to, column) in to.iter_mut().zip(transposed(block)) {
                // SAFETY: 16 numbers of 32 bits are a vector.
                *to = TileRow(unsafe { transmute::<__m512i, [u32; LANES]>(column) });
            }
        }
    }
}
