//! Medians and quartiles.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// The median of some values, and the quartiles.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    pub low: f64,
    pub median: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<_> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self {
            low: percentile(&sorted, 25),
            median: percentile(&sorted, 50),
            high: percentile(&sorted, 75),
        }
    }
}

pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(values).median
}

/// Between the two nearest of sorted values, in proportion.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = last * percent;
    let (below, above) = (sorted[position / 100], sorted[position.div_ceil(100)]);
    // Not the formula below, which has no answer between two infinities.
    if below == above {
        return below;
    }
    below + (above - below) * (position % 100) as f64 / 100.0
}

/// Three digits of the median, and of the quartiles where they differ.
impl Display for Spread {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&short(self.median))?;
        if self.low != self.high {
            write!(formatter, " [{}, {}]", short(self.low), short(self.high))?;
        }
        Ok(())
    }
}

/// A number as a table has it.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if value.is_infinite() {
        "never".into()
    } else if value == 0.0 {
        "0".into()
    } else if !(1e-3..1e5).contains(&size) {
        format!("{value:.1e}")
    } else if value.fract() == 0.0 {
        // Steps are counted.
        format!("{value:.0}")
    } else if size < 1.0 {
        format!("{value:.3}")
    } else if size < 10.0 {
        format!("{value:.2}")
    } else if size < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// NaN of nothing.
pub fn geometric_mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in values {
        sum += value.ln();
        count += 1.0;
    }
    f64::exp(sum / count)
}
