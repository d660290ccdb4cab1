//! All runs of role 5, and their means.

use std::fmt::{self, Display, Formatter};

use super::run::{Noise, Run};

/// The mean over seeds, its standard error, and how many are above 0.
pub(super) struct Mean {
    pub(super) value: f64,
    standard_error: f64,
    positive: usize,
    count: usize,
}

impl Mean {
    pub(super) fn of(values: &[f64]) -> Self {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self {
            value: mean,
            standard_error: (squares / (count.saturating_sub(1) * count) as f64).sqrt(),
            positive: values.iter().filter(|&&value| value > 0.0).count(),
            count,
        }
    }
}

impl Display for Mean {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            value,
            standard_error,
            positive,
            count,
        } = self;
        write!(
            formatter,
            "{value:+.4} (se {standard_error:.4}), {positive} of {count} up"
        )
    }
}

pub(super) type Measure = fn(&Run) -> f64;

pub(super) fn accuracy(run: &Run) -> f64 {
    run.accuracy
}

pub(super) fn test_loss(run: &Run) -> f64 {
    run.test_loss
}

/// All runs.
pub(super) struct Runs(pub(super) Vec<Run>);

impl Runs {
    /// One value for each seed, in the order of the seeds.
    pub(super) fn values(&self, arm: Noise, rate: f64, measure: Measure) -> Vec<f64> {
        let runs = self.0.iter();
        let runs = runs.filter(|run| run.arm == arm && run.rate == rate);
        runs.map(measure).collect()
    }

    pub(super) fn mean(&self, arm: Noise, rate: f64, measure: Measure) -> f64 {
        Mean::of(&self.values(arm, rate, measure)).value
    }

    /// The arm's values less those of another from the same seeds.
    pub(super) fn differences(
        &self,
        arm: Noise,
        from: Noise,
        rate: f64,
        measure: Measure,
    ) -> Vec<f64> {
        let values = self.values(arm, rate, measure).into_iter();
        let from = self.values(from, rate, measure);
        values.zip(from).map(|(value, from)| value - from).collect()
    }
}
