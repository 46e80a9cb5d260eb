//! Tables that people can read.

use std::io::{Result, Write};

/// A table with a header; numbers are right-aligned, the last column is text.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|cell| cell.to_string()).collect()] }
    }

    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    pub fn write(&self, out: &mut impl Write) -> Result<()> {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let (last, others) = row.split_last().expect("a table has columns");
            for (cell, width) in others.iter().zip(&widths) {
                write!(out, "{cell:>width$}  ")?;
            }
            writeln!(out, "{last}")?;
        }
        Ok(())
    }
}

/// Three digits, or a dash where there is no number.
pub fn number(value: Option<f64>) -> String {
    // Adding zero turns the -0.0 that rounding leaves into 0.0.
    value.map_or("-".into(), |value| format!("{:.3}", (value * 1e3).round() / 1e3 + 0.0))
}
