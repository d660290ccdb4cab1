//! One figure: a pass on a problem, and the limit beside it.

use serde::Serialize;
use tables::spread::Spread;

/// A layout of a row, which others are told from.
pub(crate) const CHANNELS_FIRST: &str = "channels first";

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// With its SIMD level and the number of threads, if it has such.
    pub(crate) device: String,
    pub(crate) level: Option<&'static str>,
    pub(crate) threads: Option<usize>,
    /// N, C, spatial...
    pub(crate) dims: Vec<usize>,
    pub(crate) layout: &'static str,
    pub(crate) dtype: String,
    pub(crate) pass: &'static str,
    /// What must be read and written.
    pub(crate) bytes: usize,
    /// Whether the whole problem is small enough to be found in cache, and is meant to.
    pub(crate) cached: bool,
    /// Of one call: the median and the quartiles of the rounds (of a GPU, the median, the least and the most of the
    /// replays).
    pub(crate) seconds: Spread,
    /// Of the limit for as many bytes.
    pub(crate) limit_seconds: Spread,
    /// How the limit was reached.
    pub(crate) limit_way: String,
    /// Limit over time in each round.
    pub(crate) share: Spread,
}

impl Row {
    /// Bytes that must be moved, a second of the time it took.
    pub(crate) fn rate(&self) -> f64 {
        self.bytes as f64 / self.seconds.median
    }

    /// Bytes a second at the limit.
    pub(crate) fn limit_rate(&self) -> f64 {
        self.bytes as f64 / self.limit_seconds.median
    }
}
