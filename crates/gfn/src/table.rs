//! Ragged tables: one row per trajectory, one entry per prefix.

/// A ragged table `[n, len+1]`: row `i` belongs to trajectory `i`, and its entry `k` to the prefix
/// z_1:k, the empty prefix (k = 0) included.
///
/// The conventions of the policy's tables, in nats:
///
/// | table | entry k | special entries |
/// |---|---|---|
/// | `log_pf` | log q(z_k given z_<k) for k >= 1 | entry 0 is 0; 0 for tokens a tool inserted |
/// | `log_pterm` | log q(stop given z_1:k) | 0 where the stop is forced, -inf where it is not allowed |
/// | `log_reward` | log R(z_1:k stop), stored untempered | -inf for zero reward |
/// | `endpoint` | whether the policy may stop there (`Table<bool>`) | |
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table<T = f64> {
    rows: Vec<Vec<T>>,
}

impl<T> Table<T> {
    /// A table of these rows.
    pub fn from_rows(rows: Vec<Vec<T>>) -> Self {
        Self { rows }
    }

    /// The number of rows, `n`.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Row `i`, `[len+1]`.
    pub fn row(&self, i: usize) -> &[T] {
        &self.rows[i]
    }

    /// Row `i`, `[len+1]`, to be written.
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.rows[i]
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[T]> {
        self.rows.iter().map(Vec::as_slice)
    }

    /// The rows, taken out.
    pub fn into_rows(self) -> Vec<Vec<T>> {
        self.rows
    }

    /// A table of the same shape, filled with `value`.
    pub fn like<U: Clone>(&self, value: U) -> Table<U> {
        self.map(|_| value.clone())
    }

    /// A table of the same shape with every entry mapped.
    pub fn map<U>(&self, entry: impl Fn(&T) -> U) -> Table<U> {
        let rows = self.iter().map(|row| row.iter().map(&entry).collect());
        Table::from_rows(rows.collect())
    }

    /// Some of the rows, in the order that is asked for.
    pub fn select(&self, rows: &[usize]) -> Self
    where
        T: Clone,
    {
        Self { rows: rows.iter().map(|row| self.rows[*row].clone()).collect() }
    }

    /// Whether both tables have the same rows of the same lengths.
    pub fn same_shape<U>(&self, other: &Table<U>) -> bool {
        self.rows() == other.rows() && self.iter().zip(other.iter()).all(|(mine, theirs)| mine.len() == theirs.len())
    }
}

/// log q(z stop) of every trajectory, in nats, from the policy's tables.  `[n]`
pub fn log_q(log_pf: &Table, log_pterm: &Table) -> Vec<f64> {
    let whole = |(tokens, stops): (&[f64], &[f64])| tokens.iter().sum::<f64>() + stops.last().unwrap_or(&0.0);
    log_pf.iter().zip(log_pterm.iter()).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_keeps_the_shape() {
        let table = Table::from_rows(vec![vec![1.0, 2.0], vec![3.0]]);
        let zeros = table.like(0.0);
        assert_eq!(zeros, Table::from_rows(vec![vec![0.0, 0.0], vec![0.0]]));
        assert!(table.same_shape(&zeros));
        assert!(!table.same_shape(&Table::from_rows(vec![vec![1.0], vec![2.0, 3.0]])));
        assert!(!table.same_shape(&Table::from_rows(vec![vec![1.0, 2.0]])));
    }
}
