//! Time and bytes a second over four decades of sizes.

use figures::axis::Axis;
use figures::figure::{Chart, Figure, Series};
use plotters::chart::SeriesLabelPosition;
use tables::spread::Spread;

use super::{COLOURS, passes};
use crate::report::groups;
use crate::row::Row;

/// What is drawn of a row.
struct Quantity {
    label: &'static str,
    of: fn(bytes: f64, seconds: f64) -> f64,
    legend: SeriesLabelPosition,
}

pub(crate) fn figure(title: String, machine: &str, rows: &[&Row]) -> Figure {
    let quantities = [
        Quantity {
            label: "µs",
            of: |_, seconds| seconds * 1e6,
            legend: SeriesLabelPosition::UpperLeft,
        },
        Quantity {
            label: "GB/s",
            of: |bytes, seconds| bytes / seconds / 1e9,
            legend: SeriesLabelPosition::UpperRight,
        },
    ];
    let mut charts = Vec::new();
    for (layout, rows) in groups(rows.iter().copied(), |row| row.layout) {
        charts.extend(
            quantities
                .iter()
                .map(|quantity| chart(layout, quantity, &rows)),
        );
    }
    Figure {
        title,
        caption: format!("{machine}; medians and quartiles, grey: the limit"),
        columns: quantities.len(),
        charts,
    }
}

fn chart(layout: &str, quantity: &Quantity, rows: &[&Row]) -> Chart {
    let mut series = Vec::new();
    let mut limits: Vec<Vec<usize>> = Vec::new();
    for (index, pass) in passes(rows).into_iter().enumerate() {
        let rows: Vec<_> = rows.iter().filter(|row| row.pass == pass).collect();
        let points = |seconds: fn(&Row) -> Spread| {
            let points = rows
                .iter()
                .map(|row| (size(row), drawn(row, quantity, seconds(row))));
            points.collect()
        };
        let bytes: Vec<_> = rows.iter().map(|row| row.bytes).collect();
        // Passes over as many bytes have one limit.
        if !limits.contains(&bytes) {
            series.push(Series {
                name: format!("limit of {pass}"),
                colour: COLOURS[COLOURS.len() - 1],
                points: points(|row| row.limit_seconds),
            });
            limits.push(bytes);
        }
        series.push(Series {
            name: pass.to_owned(),
            colour: COLOURS[index % (COLOURS.len() - 1)],
            points: points(|row| row.seconds),
        });
    }
    let points = || series.iter().flat_map(|series| &series.points);
    let x: Vec<_> = points().map(|(x, _)| *x).collect();
    let y: Vec<_> = points().flat_map(|(_, y)| [y.low, y.high]).collect();
    Chart {
        title: format!("{layout}: {} of one call", quantity.label),
        x: axis("MB that must be read and written", &x),
        y: axis(quantity.label, &y),
        series,
        legend: quantity.legend.clone(),
    }
}

fn size(row: &Row) -> f64 {
    row.bytes as f64 / 1e6
}

fn drawn(row: &Row, quantity: &Quantity, seconds: Spread) -> Spread {
    let of = |seconds| (quantity.of)(row.bytes as f64, seconds);
    let (a, b) = (of(seconds.low), of(seconds.high));
    Spread {
        low: a.min(b),
        median: of(seconds.median),
        high: a.max(b),
    }
}

/// With marks at powers of ten, or where those are few, at 1, 2, 5, 10...
fn axis(label: &str, values: &[f64]) -> Axis {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    let first = least.log10().floor();
    let decades = (0..).map(|decade| 10f64.powf(first + f64::from(decade)));
    let decades: Vec<_> = decades.take_while(|power| *power <= most).collect();
    let steps: &[f64] = if decades.len() > 3 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let marks = decades
        .iter()
        .flat_map(|power| steps.iter().map(move |step| power * step));
    let inside: Vec<_> = marks.filter(|mark| (least..=most).contains(mark)).collect();
    if inside.is_empty() {
        // All between two marks.
        return Axis::logarithmic(label, &[least, most]);
    }
    Axis::logarithmic(label, &inside).covering(values)
}
