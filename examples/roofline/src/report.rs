//! The figures as tables in Markdown.

use std::fmt::Write;

use tables::markdown::Table;
use tables::spread::geometric_mean;
use tables::units::time;
use workload::shapes;

use crate::row::{CHANNELS_FIRST, Row};
use crate::sizes;

/// A table for each pass, data type and device: the shapes, and beside one another the layouts.
pub(crate) fn figures(rows: &[Row]) -> String {
    let mut text = String::from(
        "\nTime of one call, GB/s of what must be read and written, GB/s at the limit, share of the limit: medians.\n",
    );
    let key = |row: &Row| (row.pass, row.dtype.clone(), row.device.clone());
    for ((pass, dtype, device), rows) in groups(rows, key) {
        let mut table = Table::new([
            "N x C x ...",
            "channels first",
            "GB/s",
            "limit",
            "share",
            "last, (N, C)",
            "GB/s",
            "limit",
            "share",
        ]);
        for (dims, rows) in groups(rows, |row| row.dims.clone()) {
            let mut cells = vec![shapes::name(&dims)];
            for layout in [FIRST, LAST] {
                match rows.iter().find(|row| place(row) == layout) {
                    Some(row) => cells.extend(figure(row)),
                    None => cells.extend([const { String::new() }; 4]),
                }
            }
            table.row(cells);
        }
        write!(text, "\n{pass}, {dtype}, {device}:\n\n{table}").expect("a string takes everything");
    }
    text
}

fn figure(row: &Row) -> [String; 4] {
    [
        time(row.seconds.median),
        format!("{:.1}", row.rate() / 1e9),
        format!("{:.1}", row.limit_rate() / 1e9),
        format!("{:.2}", row.share.median),
    ]
}

/// What the shapes have in common, without those that are found in cache.
pub(crate) fn summary(rows: &[Row]) -> String {
    let mut table = Table::new([
        "pass",
        "dtype",
        "layout",
        "device",
        "share",
        "least",
        "at",
        "times as fast as one thread",
    ]);
    let beyond: Vec<_> = rows.iter().filter(|row| !row.cached).collect();
    if beyond.is_empty() {
        return String::new();
    }
    let key = |row: &Row| (row.pass, row.dtype.clone(), place(row), row.device.clone());
    for ((pass, dtype, layout, device), rows) in groups(beyond.iter().copied(), key) {
        let share = geometric_mean(rows.iter().map(|row| row.share.median));
        let least = rows
            .iter()
            .min_by(|a, b| a.share.median.total_cmp(&b.share.median));
        let faster = rows.iter().filter_map(|row| {
            let one = beyond.iter().find(|one| is_one_thread_of(one, row))?;
            Some(one.seconds.median / row.seconds.median)
        });
        table.row([
            pass.into(),
            dtype,
            layout.into(),
            device,
            number(share),
            least.map_or_else(String::new, |row| format!("{:.2}", row.share.median)),
            least.map_or_else(String::new, |row| shapes::name(&row.dims)),
            number(geometric_mean(faster)),
        ]);
    }
    format!(
        "\nGeometric means over the shapes, without those that a core's cache holds:\n\n{table}"
    )
}

/// Whether a row is the same on one thread of the same device as another on several.
fn is_one_thread_of(one: &Row, row: &Row) -> bool {
    one.threads == Some(1)
        && row.threads.is_some_and(|threads| threads > 1)
        && (one.level, one.pass, &one.dtype) == (row.level, row.pass, &row.dtype)
        && (&one.dims, one.layout) == (&row.dims, row.layout)
}

/// How time grows with size.
pub(crate) fn growth(rows: &[Row]) -> String {
    let mut table = Table::new(["pass", "dtype", "layout", "device", "exponent", "sizes"]);
    let key = |row: &Row| (row.pass, row.dtype.clone(), row.layout, row.device.clone());
    for ((pass, dtype, layout, device), rows) in groups(rows, key) {
        if let Some(growth) = sizes::growth(&rows) {
            table.row([
                pass.into(),
                dtype,
                layout.into(),
                device,
                format!("{:.3}", growth.exponent),
                format!("{} to {} MB", megabytes(growth.from), megabytes(growth.to)),
            ]);
        }
    }
    format!("\nTime grows as bytes to the power of the exponent, beyond a core's cache:\n\n{table}")
}

fn megabytes(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// The columns.
pub(crate) const FIRST: &str = CHANNELS_FIRST;
pub(crate) const LAST: &str = "channels last, (N, C)";

/// The column of a row: an (N, C) array has its channels last.
pub(crate) fn place(row: &Row) -> &'static str {
    if row.layout == FIRST { FIRST } else { LAST }
}

/// Rows with the same key, in the order of the first of each.
pub(crate) fn groups<'a, K: PartialEq>(
    rows: impl IntoIterator<Item = &'a Row>,
    key: impl Fn(&Row) -> K,
) -> Vec<(K, Vec<&'a Row>)> {
    let mut groups: Vec<(K, Vec<&Row>)> = Vec::new();
    for row in rows {
        let key = key(row);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((key, vec![row])),
        }
    }
    groups
}

/// Two decimals, or nothing.
fn number(value: f64) -> String {
    if value.is_nan() {
        String::new()
    } else {
        format!("{value:.2}")
    }
}
