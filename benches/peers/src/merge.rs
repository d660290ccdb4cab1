//! The figures of several processes as one table: a process has its stack and its arrays where chance has put them, and keeps
//! them there, so that one process is one throw.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use crate::contender::Column;
use crate::problem::Result;
use crate::rounds::Median;
use crate::table::{Row, Tables};

/// What is read of a file of figures.
#[derive(Deserialize)]
struct Figures {
    machine: Value,
    rows: Vec<Row>,
}

/// Prints the tables of these files, which are of one machine.
pub fn print(files: &[PathBuf]) -> Result<()> {
    let mut figures = vec![];
    for path in files {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = fs::read_to_string(path).map_err(|error| named(&error))?;
        let read: Figures = serde_json::from_str(&text).map_err(|error| named(&error))?;
        figures.push(read);
    }
    let machine = &figures[0].machine;
    if figures.iter().any(|figures| figures.machine != *machine) {
        return Err("these files are not of one machine and allocator".into());
    }
    println!("{machine}\n");
    let rows = merged(
        figures
            .into_iter()
            .flat_map(|figures| figures.rows)
            .collect(),
    );
    let filled = |column: &Column| {
        let mut medians = rows.iter().flat_map(|row| &row.medians);
        medians.any(|median| median.column == *column)
    };
    let missing = Column::ALL.into_iter().filter(|column| !filled(column));
    Tables {
        missing: missing.collect(),
    }
    .print(&rows);
    Ok(())
}

/// Rows of one shape, layout and pass as one, in the order in which they are first met.
fn merged(rows: Vec<Row>) -> Vec<Row> {
    let mut groups: Vec<Vec<Row>> = vec![];
    for row in rows {
        let same = |group: &&mut Vec<Row>| {
            let first = &group[0];
            (&first.dims, first.layout, first.pass) == (&row.dims, row.layout, row.pass)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups.into_iter().map(merge).collect()
}

fn merge(rows: Vec<Row>) -> Row {
    let (dims, layout, pass) = (rows[0].dims.clone(), rows[0].layout, rows[0].pass);
    let mut contenders: Vec<Vec<Median>> = vec![];
    for median in rows.into_iter().flat_map(|row| row.medians) {
        let same = |found: &&mut Vec<Median>| {
            // oneDNN has one name in two layouts.
            let first = &found[0];
            (first.column, &first.contender) == (median.column, &median.contender)
        };
        match contenders.iter_mut().find(same) {
            Some(found) => found.push(median),
            None => contenders.push(vec![median]),
        }
    }
    Row {
        dims,
        layout,
        pass,
        medians: contenders.into_iter().map(median_of).collect(),
    }
}

/// Of a contender's medians in several processes.
fn median_of(mut medians: Vec<Median>) -> Median {
    medians.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let least = medians.iter().map(|median| median.least);
    Median {
        least: least.fold(f64::INFINITY, f64::min),
        passes: medians.iter().map(|median| median.passes).sum(),
        ..medians[medians.len() / 2].clone()
    }
}
