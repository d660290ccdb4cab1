//! A table of checksums in a text file: a line for each case, a column for each way of computing that has bits of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use crate::cases::Checksums;

/// The environment variable that has tables written instead of read.
const RECORD: &str = "BATCHNORM_RECORD_BITS";
/// How many cases a failure names.
const NAMED: usize = 10;

/// What somebody computed.
pub struct Run {
    /// Who, for messages.
    pub by: String,
    /// The column that it must agree with.
    pub column: &'static str,
    pub checksums: Checksums,
}

/// Holds what was computed against the table of a file.
///
/// # Panics
/// Unless each run has exactly the cases of the table, with the checksums of its column; and always after recording.
pub fn hold(path: &Path, columns: &[&'static str], runs: &[Run]) {
    let record = env::var_os(RECORD).is_some_and(|value| value == "1");
    if record {
        fs::write(path, Table::of(columns, runs).text()).expect("a table that can be written");
    }
    let text = fs::read_to_string(path).expect("a table that can be read");
    compare(&path.display().to_string(), &text, columns, runs);
    assert!(
        !record,
        "recorded {}: run again without {RECORD}",
        path.display()
    );
}

/// Holds what was computed against a table that is at hand as text, for a machine without this source.
///
/// # Panics
/// Unless each run has exactly the cases of the table, with the checksums of its column.
pub fn compare(name: &str, text: &str, columns: &[&'static str], runs: &[Run]) {
    let table = Table::parse(text, columns);
    let differences: String = runs
        .iter()
        .filter_map(|run| table.differences(run))
        .collect();
    assert!(
        differences.is_empty(),
        "not the bits of {name}:\n{differences}"
    );
}

struct Table {
    columns: Vec<&'static str>,
    /// In the order of the file.
    lines: Vec<(String, Vec<u64>)>,
}

impl Table {
    /// What the first run of each column computed.
    fn of(columns: &[&'static str], runs: &[Run]) -> Self {
        let firsts: Vec<&Run> = columns
            .iter()
            .map(|&column| {
                let first = runs.iter().find(|run| run.column == column);
                first.unwrap_or_else(|| panic!("this machine cannot record the column {column}"))
            })
            .collect();
        let names = firsts[0].checksums.iter().map(|(name, _)| name);
        let lines = names.enumerate().map(|(line, name)| {
            let checksums = firsts.iter().map(|run| {
                assert_eq!(run.checksums[line].0, *name, "the cases of {}", run.by);
                run.checksums[line].1
            });
            (name.clone(), checksums.collect())
        });
        Self {
            columns: columns.to_vec(),
            lines: lines.collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("case {}\n", self.columns.join(" "));
        for (name, checksums) in &self.lines {
            text.push_str(name);
            for checksum in checksums {
                write!(text, " {checksum:016x}").expect("memory");
            }
            text.push('\n');
        }
        text
    }

    fn parse(text: &str, columns: &[&'static str]) -> Self {
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default().split(' ').skip(1);
        assert!(
            header.eq(columns.iter().copied()),
            "the table has other columns than {columns:?}"
        );
        let lines = lines.map(|line| {
            let (name, checksums) = line.split_once(' ').expect("a name and checksums");
            let checksums: Vec<u64> = checksums
                .split(' ')
                .map(|checksum| u64::from_str_radix(checksum, 16).expect("a checksum in hex"))
                .collect();
            assert_eq!(checksums.len(), columns.len(), "checksums of {name}");
            (name.to_owned(), checksums)
        });
        Self {
            columns: columns.to_vec(),
            lines: lines.collect(),
        }
    }

    /// In what a run is not the table, in words.
    fn differences(&self, run: &Run) -> Option<String> {
        let at = self.columns.iter().position(|&name| name == run.column);
        let at = at.unwrap_or_else(|| panic!("the table has no column {}", run.column));
        let of_table: BTreeMap<&str, u64> = self
            .lines
            .iter()
            .map(|(name, checksums)| (name.as_str(), checksums[at]))
            .collect();
        assert_eq!(of_table.len(), self.lines.len(), "a case has two lines");
        let mut computed = BTreeSet::new();
        let (mut changed, mut without_line) = (vec![], vec![]);
        for (name, checksum) in &run.checksums {
            assert!(computed.insert(name.as_str()), "two cases are {name}");
            match of_table.get(name.as_str()) {
                Some(of_table) if of_table == checksum => {}
                Some(_) => changed.push(name.as_str()),
                None => without_line.push(name.as_str()),
            }
        }
        let names = self.lines.iter().map(|(name, _)| name.as_str());
        let without_case: Vec<&str> = names.filter(|name| !computed.contains(name)).collect();
        let words: String = [
            ("other bits", changed),
            ("cases without a line", without_line),
            ("lines without a case", without_case),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| listed(&run.by, what, &names))
        .collect();
        (!words.is_empty()).then_some(words)
    }
}

fn listed(by: &str, what: &str, names: &[&str]) -> String {
    let mut words = format!("{by}: {what}: {}\n", names.len());
    for name in names.iter().take(NAMED) {
        writeln!(words, "    {name}").expect("memory");
    }
    if names.len() > NAMED {
        words.push_str("    ...\n");
    }
    words
}
