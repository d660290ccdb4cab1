//! Training runs over arms, learning rates and seeds, and what can be asked of them.

use candle_core::Result;
use figures::figure::{BATCH_NORM, PLAIN, Series};
use serde_json::{Value, json};
use tables::spread::{Spread, median};

use crate::context::Context;
use crate::normalization::Normalize;
use crate::training::{Model, Record, Schedule, train};

/// The powers of ten from 10^(first/per_decade) to 10^(last/per_decade).
pub(crate) fn powers_of_ten(exponents: std::ops::RangeInclusive<i32>, per_decade: i32) -> Vec<f64> {
    exponents
        .map(|exponent| 10_f64.powf(f64::from(exponent) / f64::from(per_decade)))
        .collect()
}

pub(crate) struct Run {
    pub(crate) rate: f64,
    pub(crate) seed: u64,
    pub(crate) record: Record,
}

/// The runs of one arm, at every learning rate from every seed.
pub(crate) struct Runs {
    pub(crate) rates: Vec<f64>,
    pub(crate) runs: Vec<Run>,
}

/// Trains each arm at each rate from each seed.
pub(crate) fn sweep<A: Copy + Sync, M: Model>(
    context: &Context,
    name: &'static str,
    arms: &[A],
    (rates, seeds): (&[f64], &[u64]),
    build: impl Fn(A, u64) -> Result<M> + Sync,
    schedule: impl Fn(f64, u64) -> Schedule + Sync,
) -> Result<Vec<Runs>> {
    let jobs: Vec<_> = arms
        .iter()
        .flat_map(|&arm| rates.iter().map(move |&rate| (arm, rate)))
        .flat_map(|(arm, rate)| seeds.iter().map(move |&seed| (arm, rate, seed)))
        .collect();
    let data = (&context.split.training, &context.split.test);
    let mut runs = context
        .runner
        .all(name, &jobs, |&(arm, rate, seed)| {
            let model = build(arm, seed)?;
            let record = train(&model, data, &schedule(rate, seed), |_, _, _| Ok(()))?;
            Ok(Run { rate, seed, record })
        })?
        .into_iter();
    let of_an_arm = rates.len() * seeds.len();
    let arm = |_| Runs {
        rates: rates.to_vec(),
        runs: runs.by_ref().take(of_an_arm).collect(),
    };
    Ok(arms.iter().map(arm).collect())
}

/// The runs without and with batch norm.
pub(crate) struct Arms {
    pub(crate) plain: Runs,
    pub(crate) batch_norm: Runs,
}

impl Arms {
    pub(crate) fn both(&self) -> [&Runs; 2] {
        [&self.plain, &self.batch_norm]
    }

    /// Lines of both, for a chart.
    pub(crate) fn series(&self, points: impl Fn(&Runs) -> Vec<(f64, Spread)>) -> Vec<Series> {
        let named = [("plain", PLAIN), ("BN", BATCH_NORM)];
        let named = named.into_iter().zip(self.both());
        named
            .map(|((name, colour), runs)| Series {
                name: name.into(),
                colour,
                points: points(runs),
            })
            .collect()
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "plain": self.plain.json(), "batch_norm": self.batch_norm.json() })
    }
}

/// Trains both arms of each configuration at each rate from each seed.
pub(crate) fn compare<C: Copy + Sync, M: Model>(
    context: &Context,
    name: &'static str,
    configurations: &[C],
    (rates, seeds): (&[f64], &[u64]),
    build: impl Fn(C, Normalize, u64) -> Result<M> + Sync,
    schedule: impl Fn(f64, u64) -> Schedule + Sync,
) -> Result<Vec<Arms>> {
    let arms: Vec<_> = configurations
        .iter()
        .flat_map(|&configuration| {
            [Normalize::No, Normalize::Batch].map(|arm| (configuration, arm))
        })
        .collect();
    let build = |(configuration, normalize), seed| build(configuration, normalize, seed);
    let mut runs = sweep(context, name, &arms, (rates, seeds), build, schedule)?.into_iter();
    let mut all = Vec::new();
    while let (Some(plain), Some(batch_norm)) = (runs.next(), runs.next()) {
        all.push(Arms { plain, batch_norm });
    }
    Ok(all)
}

impl Runs {
    pub(crate) fn at(&self, rate: f64) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(move |run| run.rate == rate)
    }

    pub(crate) fn spread(&self, rate: f64, what: impl Fn(&Record) -> f64) -> Spread {
        Spread::of(self.at(rate).map(|run| what(&run.record)))
    }

    /// The rate at which the median of this is least: the first of them where several are, and the first of all where it
    /// is infinite at each.
    pub(crate) fn rate_of_least(&self, what: impl Fn(&Record) -> f64) -> f64 {
        let medians = self
            .rates
            .iter()
            .map(|&rate| (rate, self.spread(rate, &what).median));
        medians
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(f64::NAN, |(rate, _)| rate)
    }

    /// The rate that trains best: the test images have no part in it.
    pub(crate) fn tuned_rate(&self) -> f64 {
        self.rate_of_least(Record::final_loss)
    }

    /// The final test accuracy at that rate.
    pub(crate) fn tuned_accuracy(&self) -> Spread {
        self.spread(self.tuned_rate(), Record::final_accuracy)
    }

    /// The best median of the final test accuracy over all rates.
    pub(crate) fn best_accuracy(&self) -> f64 {
        let medians = self
            .rates
            .iter()
            .map(|&rate| self.spread(rate, Record::final_accuracy).median);
        medians.fold(0.0, f64::max)
    }

    /// This at every rate, for a chart.
    pub(crate) fn over_rates(&self, what: impl Fn(&Record) -> f64) -> Vec<(f64, Spread)> {
        self.rates
            .iter()
            .map(|&rate| (rate, self.spread(rate, &what)))
            .collect()
    }

    /// The test accuracy at every checkpoint of the runs at this rate, for a chart.
    pub(crate) fn over_steps(&self, rate: f64) -> Vec<(f64, Spread)> {
        let first = self.at(rate).next();
        let steps = first.into_iter().flat_map(|run| &run.record.accuracies);
        steps
            .map(|&(step, _)| {
                (
                    step as f64,
                    self.spread(rate, |record| record.accuracy_at(step)),
                )
            })
            .collect()
    }

    /// Every run.
    pub(crate) fn json(&self) -> Value {
        self.runs.iter().map(Run::json).collect()
    }
}

impl Run {
    fn json(&self) -> Value {
        let accuracies = &self.record.accuracies;
        json!({
            "rate": rounded(self.rate),
            "seed": self.seed,
            "final_loss": rounded(self.record.final_loss()),
            "accuracies": accuracies.iter().map(|(_, accuracy)| rounded(*accuracy)).collect::<Vec<_>>(),
        })
    }
}

/// Five digits: a training run gives no more.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// The median of the ratio of two arms, seed by seed.
pub(crate) fn paired_ratio(above: &[f64], below: &[f64]) -> f64 {
    median(above.iter().zip(below).map(|(above, below)| above / below))
}
