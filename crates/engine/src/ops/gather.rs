//! Rows picked by number: embeddings of tokens and positions, and the hidden states that the head wants.

use crate::cpu::rows;
use crate::{Columns, Tensor, Weight, threads};

/// Row i of the result is row `ids[i]` of the table: `[n, d]`.
pub fn embed(table: &Weight, ids: &[u32]) -> Tensor {
    let mut out = table.device().scratch(ids.len(), table.inputs());
    rows::for_each(
        &mut out,
        #[inline(always)]
        |row, out| {
            table.panels().for_output(ids[row] as usize, |column, value| out[column] = value);
        },
    );
    out
}

/// Adds row `ids[i]` of the table to row i of `x`.
pub fn embed_add(x: &mut Tensor, table: &Weight, ids: &[u32]) {
    assert_eq!(x.rows(), ids.len());
    rows::for_each(
        x,
        #[inline(always)]
        |row, x| {
            table.panels().for_output(ids[row] as usize, |column, value| x[column] += value);
        },
    );
}

/// Row i of the result is row `ids[i]` of `x`: `[n, d]`.
pub fn forward(x: &Tensor, ids: &[u32]) -> Tensor {
    let mut out = x.device().scratch(ids.len(), x.cols());
    rows::for_each(
        &mut out,
        #[inline(always)]
        |row, out| out.copy_from_slice(x.row(ids[row] as usize)),
    );
    out
}

/// Overwrites row `ids[i]` of `table` with row i of `x`: how keys and values enter a cache.
///
/// # Panics
/// If an id is there twice.
pub fn store(table: &mut Tensor, ids: &[u32], x: Columns) {
    assert_eq!((x.rows(), x.cols()), (ids.len(), table.cols()));
    let mut rows = rows_by_number(table, ids);
    let together = rows::rows_per_task(rows.len(), x.cols());
    threads::for_each(rows.chunks_mut(together), |rows| {
        rows.iter_mut().for_each(|(i, row)| row.copy_from_slice(x.row(*i)));
    });
}

/// The rows of a table that `ids` names, each with its place among the ids, in the table's order.
fn rows_by_number<'a>(table: &'a mut Tensor, ids: &[u32]) -> Vec<(usize, &'a mut [f32])> {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_unstable_by_key(|i| ids[*i]);
    let cols = table.cols();
    let (mut rest, mut next) = (table.host_mut(), 0);
    let mut take = |i: usize| {
        let id = ids[i] as usize;
        assert!(id >= next, "a row that is stored twice");
        let (row, after) = std::mem::take(&mut rest)[(id - next) * cols..].split_at_mut(cols);
        (rest, next) = (after, id + 1);
        (i, row)
    };
    order.into_iter().map(&mut take).collect()
}

/// `dx[ids[i]] += dy[i]`; a row picked twice collects twice. Also the gradient of a table for [`embed`].
pub fn backward(dy: &Tensor, ids: &[u32], dx: &mut Tensor) {
    assert_eq!((dy.rows(), dy.cols()), (ids.len(), dx.cols()));
    for (row, id) in ids.iter().enumerate() {
        for (dx, dy) in dx.row_mut(*id as usize).iter_mut().zip(dy.row(row)) {
            *dx += dy;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{gradient, tensor, weighted_sum};

    #[test]
    fn stores_rows_where_they_belong() {
        let (x, mut table) = (tensor(1, 2, 5), tensor(2, 4, 3));
        let before = table.clone();
        store(&mut table, &[3, 1], x.columns(1..4));
        assert_eq!(table.row(3), &x.row(0)[1..4]);
        assert_eq!(table.row(1), &x.row(1)[1..4]);
        assert_eq!((table.row(0), table.row(2)), (before.row(0), before.row(2)));
    }

    #[test]
    fn passes_finite_differences_with_repeated_rows() {
        let (x, c, ids) = (tensor(1, 4, 3), tensor(2, 5, 3), [2, 0, 2, 3, 2]);
        let mut dx = x.device().zeros(4, 3);
        backward(&c, &ids, &mut dx);
        gradient(&x, &dx, |x| weighted_sum(&forward(x, &ids), &c));
        let table = |x: &Tensor| Weight::new(x.device(), 4, 3, x.host(), crate::Precision::F32);
        gradient(&x, &dx, |x| weighted_sum(&embed(&table(x), &ids), &c));
        gradient(&x, &dx, |x| {
            let mut y = c.clone();
            embed_add(&mut y, &table(x), &ids);
            weighted_sum(&y, &c)
        });
    }
}
