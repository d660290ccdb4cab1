//! A table, printed as Markdown.

use std::fmt::{self, Display, Formatter};

pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            rows: vec![header.map(String::from).to_vec()],
        }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Display for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |row: usize, column: usize| {
            let row: &Vec<String> = &self.rows[row];
            row.get(column).map_or("", String::as_str)
        };
        let width = |column| {
            let cells = (0..self.rows.len()).map(|row| cell(row, column).chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for row in 0..self.rows.len() {
            for (column, &width) in widths.iter().enumerate() {
                write!(formatter, "| {:width$} ", cell(row, column))?;
            }
            writeln!(formatter, "|")?;
            if row == 0 {
                for &width in &widths {
                    write!(formatter, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(formatter, "|")?;
            }
        }
        Ok(())
    }
}
