//! The tables: every row, and what they come to.

use serde::{Deserialize, Serialize};
use tables::markdown::Table;
use tables::spread::geometric_mean;

use crate::contender::Column;
use crate::problem::{Layout, PassKind};
use crate::rounds::Median;
use workload::shapes;

/// How many times the least time a median can be on a machine that does nothing else.
const DISTURBED: f64 = 3.0;

/// A shape, layout and pass.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub dims: Vec<usize>,
    pub layout: Layout,
    pub pass: PassKind,
    pub medians: Vec<Median>,
}

impl Row {
    /// The fastest of those in the column; none, where nobody has this layout or none of them could be started.
    fn seconds(&self, column: Column) -> Option<f64> {
        let of_column = self.medians.iter().filter(|median| median.column == column);
        of_column
            .map(|median| median.seconds)
            .min_by(f64::total_cmp)
    }

    /// Of the limit; 1 is as fast as memory.
    fn share(&self, column: Column) -> Option<f64> {
        Some(self.seconds(Column::Limit)? / self.seconds(column)?)
    }

    /// Whether one set of arrays is all there is, so that a cache holds it.
    fn is_cached(&self) -> bool {
        shapes::sets(self.dims.iter().product::<usize>() * size_of::<f32>()) == 1
    }

    fn cell(&self, column: Column) -> Option<String> {
        let (seconds, share) = (self.seconds(column)?, self.share(column)?);
        let milliseconds = format!("{:.*}", decimals(seconds * 1e3), seconds * 1e3);
        Some(match column {
            Column::Limit => milliseconds,
            Column::Ours => format!("{milliseconds} {share:.2}"),
            _ => {
                let faster = seconds / self.seconds(Column::Ours)?;
                format!("{milliseconds} {share:.2} {faster:.1}x")
            }
        })
    }
}

/// For four digits.
fn decimals(milliseconds: f64) -> usize {
    match milliseconds {
        10.0.. => 2,
        1.0.. => 3,
        _ => 4,
    }
}

/// Tables whose columns say so where nobody in them could be started.
pub struct Tables {
    pub missing: Vec<Column>,
}

impl Tables {
    /// All of them, and which figures are none.
    pub fn print(&self, rows: &[Row]) {
        println!("milliseconds, share of the limit, and how many times as fast ours is\n");
        println!("{}", self.of_rows(rows));
        println!("geometric means of the shares of the limit, where no cache holds all arrays\n");
        println!("{}", self.of_means(rows));
        disturbed(rows);
    }

    /// A line for each row.
    fn of_rows(&self, rows: &[Row]) -> Table {
        let mut table = Self::empty();
        for row in rows {
            let first = [
                shapes::name(&row.dims),
                row.layout.name().into(),
                row.pass.name().into(),
            ];
            let cells = Column::ALL.map(|column| self.or_why_not(row.cell(column), column));
            table.row(first.into_iter().chain(cells));
        }
        table
    }

    /// Over all shapes of a pass and layout whose arrays take turns.
    fn of_means(&self, rows: &[Row]) -> Table {
        let mut table = Self::empty();
        for pass in PassKind::ALL {
            for layout in Layout::ALL {
                let of = |row: &&Row| (row.pass, row.layout) == (pass, layout) && !row.is_cached();
                let rows: Vec<&Row> = rows.iter().filter(of).collect();
                if rows.is_empty() {
                    continue;
                }
                let first = [
                    format!("mean of {}", rows.len()),
                    layout.name().into(),
                    pass.name().into(),
                ];
                let cells = Column::ALL.map(|column| {
                    let shares: Option<Vec<f64>> =
                        rows.iter().map(|row| row.share(column)).collect();
                    let mean = shares.map(|shares| format!("{:.2}", geometric_mean(shares)));
                    self.or_why_not(mean, column)
                });
                table.row(first.into_iter().chain(cells));
            }
        }
        table
    }

    fn empty() -> Table {
        let columns = Column::ALL.map(Column::name);
        Table::new(["N x C x ...", "layout", "pass"].into_iter().chain(columns))
    }

    fn or_why_not(&self, cell: Option<String>, column: Column) -> String {
        let why_not = if self.missing.contains(&column) {
            "not run"
        } else {
            "–"
        };
        cell.unwrap_or_else(|| why_not.into())
    }
}

/// Says whose medians are no figures: threads that wait for each other stand still where other programs want a processor.
fn disturbed(rows: &[Row]) {
    for row in rows {
        for median in &row.medians {
            let times = median.seconds / median.least;
            if times > DISTURBED {
                println!(
                    "disturbed: {}, {}, {}: the median of {} is {times:.1} times its least",
                    shapes::name(&row.dims),
                    row.layout.name(),
                    row.pass.name(),
                    median.contender,
                );
            }
        }
    }
}
