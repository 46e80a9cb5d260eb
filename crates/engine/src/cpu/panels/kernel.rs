//! The register tile of a packed product: a few rows by one panel, down a strip of inputs.

use std::ops::Range;

use bytemuck::{Zeroable, cast_slice, cast_slice_mut};
use pulp::Simd;

use super::WIDTH;
use super::ahead::{Lines, Requests, Results, Runs, STEPS};
use super::steps::RowStep;
use super::store::Line;
use super::tiles::RowTiles;
use crate::cpu::arch::Job;
use crate::cpu::shared::SharedRows;

/// What a product's result is added to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    /// What is there already.
    There,
    /// Nothing: it overwrites.
    Zero,
    /// A bias.  `[outputs]`
    Bias(&'a [f32]),
}

impl<'a> Start<'a> {
    /// The start of some outputs.
    pub(super) fn of(self, outputs: Range<usize>) -> Self {
        match self {
            Self::Bias(bias) => Self::Bias(&bias[outputs]),
            other => other,
        }
    }
}

/// `y[:, columns] = start + the sum of some terms` for one panel and the rows of some tiles.
pub(super) struct PanelProduct<'a, L, X> {
    pub terms: &'a [Term<'a, L, X>],
    pub tiles: &'a [Range<usize>],
    pub y: SharedRows<'a>,
    pub columns: Range<usize>,
    pub start: Start<'a>,
    pub ahead: Ahead,
}

/// `x[:, steps] lines`: all terms of a product have the same rows in the same tiles.
pub(super) struct Term<'a, L, X> {
    pub x: &'a RowTiles<X>,
    pub steps: Range<usize>,
    pub lines: &'a [L],
}

impl<L, X: RowStep> Term<'_, L, X> {
    /// The steps of a tile.
    #[inline(always)]
    pub(super) fn of(&self, tile: &Range<usize>) -> &[X] {
        self.x.part(tile, &self.steps)
    }
}

/// What a product's kernel asks memory for meanwhile.
pub(super) struct Ahead {
    /// Where that lies which the strip of the product after this one is made of.
    pub strip: Runs,
    /// Where that lies which is added to the next part.
    pub added: Runs,
    /// Whether a tile's steps are to be fetched while the one before it is multiplied.
    pub rows: bool,
}

impl<L, X> PanelProduct<'_, L, X> {
    /// What is asked for while tile number `i` is multiplied, in so many times: its rows' part of the next strip, and the next tile.
    #[inline(always)]
    pub(super) fn requests(&self, i: usize, times: usize) -> Requests
    where
        X: RowStep,
    {
        let (tile, first, last) = (&self.tiles[i], self.tiles[0].start, self.tiles[self.tiles.len() - 1].end);
        let share = |runs: Runs| runs.share(tile.start - first..tile.end - first, last - first);
        let rows = match self.tiles.get(i + 1) {
            Some(next) if self.ahead.rows => Runs::one(self.terms[0].of(next)).all(),
            _ => Lines::default(),
        };
        Requests::within([share(self.ahead.strip), share(self.ahead.added), rows], times)
    }

    /// How often a kernel asks that does it every so many lines.
    #[inline(always)]
    pub(super) fn times(&self) -> usize {
        let lines: usize = self.terms.iter().map(|term| term.lines.len()).sum();
        lines.div_ceil(STEPS)
    }

    /// What is asked for meanwhile of the results of tile number `i`, in so many times: nothing where they are too few for it to arrive.
    #[inline(always)]
    pub(super) fn results(&self, i: usize, times: usize) -> Results {
        const WORTH_ASKING: usize = 8;
        let runs = match times {
            ..WORTH_ASKING => Runs::default(),
            _ => Runs::of_result(&self.y, &self.tiles[i], &self.columns),
        };
        Results::within(runs, times)
    }

    /// Writes a row's sums to where they belong.
    #[inline(always)]
    pub(super) fn finish(&self, row: usize, sums: &[f32; WIDTH]) {
        // SAFETY: a panel and a block of rows are one task, and these columns of these rows are its alone.
        let y = unsafe { self.y.row(row, self.columns.clone()) };
        // All but a last panel have a length that the compiler can see, and so no loops.
        match y.len() {
            WIDTH => self.write(&mut y[..WIDTH], sums),
            len => self.write(y, &sums[..len]),
        }
    }

    #[inline(always)]
    fn write(&self, y: &mut [f32], sums: &[f32]) {
        // Plain loops: a closure that is not inlined would lose the instruction set.
        match self.start {
            Start::There => {
                for (y, sum) in y.iter_mut().zip(sums) {
                    *y += sum;
                }
            }
            Start::Zero => y.copy_from_slice(sums),
            Start::Bias(bias) => {
                for ((y, sum), bias) in y.iter_mut().zip(sums).zip(bias) {
                    *y = sum + bias;
                }
            }
        }
    }
}

/// Calls a method with the height of a tile of up to 6 rows as a constant.
macro_rules! with_low_height {
    ($height:expr, $this:ident.$method:ident::<_ $(, $generic:tt)*>($($argument:expr),*)) => {
        match $height {
            1 => $this.$method::<1 $(, $generic)*>($($argument),*),
            2 => $this.$method::<2 $(, $generic)*>($($argument),*),
            3 => $this.$method::<3 $(, $generic)*>($($argument),*),
            4 => $this.$method::<4 $(, $generic)*>($($argument),*),
            5 => $this.$method::<5 $(, $generic)*>($($argument),*),
            _ => $this.$method::<6 $(, $generic)*>($($argument),*),
        }
    };
}
pub(super) use with_low_height;

/// The same for tiles of any height.
macro_rules! with_height {
    ($height:expr, $this:ident.$method:ident::<_ $(, $generic:tt)*>($($argument:expr),*)) => {
        match $height {
            7 => $this.$method::<7 $(, $generic)*>($($argument),*),
            8 => $this.$method::<8 $(, $generic)*>($($argument),*),
            9 => $this.$method::<9 $(, $generic)*>($($argument),*),
            10 => $this.$method::<10 $(, $generic)*>($($argument),*),
            11 => $this.$method::<11 $(, $generic)*>($($argument),*),
            12 => $this.$method::<12 $(, $generic)*>($($argument),*),
            low => $crate::cpu::panels::kernel::with_low_height!(low, $this.$method::<_ $(, $generic)*>($($argument),*)),
        }
    };
}
pub(super) use with_height;

impl Job for PanelProduct<'_, Line, f32> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (i, tile) in self.tiles.iter().enumerate() {
            match (S::F32_LANES, S::REGISTER_COUNT) {
                (16, _) => with_height!(tile.len(), self.singles::<_, S, 2>(simd, i)),
                (_, 32) => with_low_height!(tile.len(), self.singles::<_, S, 4>(simd, i)),
                _ => with_low_height!(tile.len(), self.singles::<_, S, 2>(simd, i)),
            }
        }
    }
}

impl PanelProduct<'_, Line, f32> {
    /// Tile number `i`, of M rows, by one panel, of which V vectors at a time are in registers.
    #[inline(always)]
    fn singles<const M: usize, S: Simd, const V: usize>(&self, simd: S, i: usize) {
        let tile = &self.tiles[i];
        let parts = WIDTH / (V * S::F32_LANES);
        let mut requests = self.requests(i, parts * self.times());
        // A copy in memory: the sums themselves must stay in registers.
        let mut lines = [[0.0; WIDTH]; M];
        for part in 0..parts {
            let mut sums = [[S::f32s::zeroed(); V]; M];
            for term in self.terms {
                sums = add::<M, S, V>(simd, term.of(tile), term.lines, part, sums, &mut requests);
            }
            for (line, sums) in lines.iter_mut().zip(&sums) {
                let (line, _) = cast_slice_mut::<f32, S::f32s>(line).as_chunks_mut::<V>();
                line[part] = *sums;
            }
        }
        for (row, line) in tile.clone().zip(&lines) {
            self.finish(row, line);
        }
    }
}

/// Adds a term of M rows to the sums with vectors `V part..V part + V` of the panel.
#[inline(always)]
fn add<const M: usize, S: Simd, const V: usize>(
    simd: S,
    x: &[f32],
    lines: &[Line],
    part: usize,
    mut sums: [[S::f32s; V]; M],
    requests: &mut Requests,
) -> [[S::f32s; V]; M] {
    for (x, lines) in x.chunks(M * STEPS).zip(lines.chunks(STEPS)) {
        requests.ask();
        for (x, line) in x.chunks_exact(M).zip(lines) {
            let (weights, _) = cast_slice::<f32, S::f32s>(&line.0).as_chunks::<V>();
            for (x, sums) in x.iter().zip(&mut sums) {
                let x = simd.splat_f32s(*x);
                for (sum, weight) in sums.iter_mut().zip(&weights[part]) {
                    *sum = simd.mul_add_e_f32s(x, *weight, *sum);
                }
            }
        }
    }
    sums
}
