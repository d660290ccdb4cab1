//! How fast the passes are here, beside a plain loop and the time it takes only to move the bytes.

#[cfg(feature = "cuda")]
mod gpu;
mod plain_loop;
mod processor;

use std::error::Error;

use batchnorm::Shape;
use indicatif::ProgressBar;
use tables::markdown::Table;
use tables::units::time;

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    PlainLoop,
    BatchNorm,
    /// Nobody can be faster: the bytes that must be moved, and nothing computed.
    Limit,
}

/// Seconds of one call.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    /// The processor with so many threads, or a GPU.
    pub(crate) device: String,
    pub(crate) forward: f64,
    pub(crate) backward: f64,
}

/// Every row for f32 of this shape, in memory that is there. Each is the median of the rounds, in which they take turns.
pub(crate) fn measure(
    shape: Shape,
    rounds: u64,
    progress: &ProgressBar,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let rows = processor::rows(shape, rounds, progress)?;
    #[cfg(feature = "cuda")]
    let rows = rows.into_iter().chain(gpu::rows(shape)?).collect();
    Ok(rows)
}

pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(["", "on", "forward", "backward"]);
    for row in rows {
        let name = match row.kind {
            Kind::PlainLoop => "a plain loop",
            Kind::BatchNorm => "batchnorm",
            Kind::Limit => "only moving the bytes",
        };
        table.row([
            name.into(),
            row.device.clone(),
            time(row.forward),
            time(row.backward),
        ]);
    }
    table
}

/// How many times as fast as the plain loop the fastest row of batch norm is: forward, backward.
pub(crate) fn times_as_fast(rows: &[Row]) -> Option<[f64; 2]> {
    let of = |kind| rows.iter().filter(move |row| row.kind == kind);
    let plain = of(Kind::PlainLoop).next()?;
    let least = |seconds: fn(&Row) -> f64| of(Kind::BatchNorm).map(seconds).min_by(f64::total_cmp);
    Some([
        plain.forward / least(|row| row.forward)?,
        plain.backward / least(|row| row.backward)?,
    ])
}
