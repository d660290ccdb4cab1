//! One training run of role 1, and what is read on the way.

use candle_core::Result;
use serde_json::{Value, json};
use tables::spread::{Spread, median};

use super::gradient_shift::GradientShift;
use super::reading::{Reading, drift, width_change};
use super::{RATE, architecture};
use crate::context::Context;
use crate::network::Network;
use crate::normalization::Normalize;
use crate::sweep::rounded;
use crate::training::{Record, Schedule, train};

const STEPS: usize = 1200;
const PROBE_IMAGES: usize = 600;

pub(super) struct Run {
    pub(super) arm: Normalize,
    pub(super) rate: f64,
    pub(super) seed: u64,
    pub(super) record: Record,
    /// Medians over the units of the last hidden layer.
    pub(super) drift: f64,
    pub(super) width_change: f64,
    /// The percentiles over time of the unit with the median drift.
    pub(super) typical_unit: Vec<(f64, Spread)>,
    pub(super) mean_error: f64,
    pub(super) variance_error: f64,
    /// Medians over the checkpoints.
    pub(super) cosine: f64,
    pub(super) relative_distance: f64,
}

/// Trains one network, and reads at 25 of its steps.
pub(super) fn run(context: &Context, arm: Normalize, rate: f64, seed: u64) -> Result<Run> {
    let network = Network::new(&architecture(arm), seed, &context.device)?;
    let mut schedule = Schedule::new(STEPS, rate, seed);
    schedule.checkpoints = [1, 5, 10, 20, 40]
        .into_iter()
        .chain((60..=STEPS).step_by(60))
        .collect();
    let (training, test) = (&context.split.training, &context.split.test);
    let probe = training.range(0, PROBE_IMAGES)?;
    let (mut readings, mut shifts) = (Vec::new(), Vec::new());
    let record = train(&network, (training, test), &schedule, |step, _, _| {
        if schedule.checkpoints.contains(&step) {
            readings.push((step as f64, Reading::new(&network, &probe.images)?));
            // A mini-batch that the network has not just taken a step for.
            let start = step * schedule.batch % training.len();
            let batch = training.range(start, schedule.batch)?;
            shifts.push(GradientShift::new(&network, &batch, rate)?);
        }
        Ok(())
    })?;

    let units: Vec<Vec<(f64, Spread)>> = (0..architecture(arm).width)
        .map(|unit| {
            let at_step = |(step, reading): &(f64, Reading)| (*step, reading.units[unit]);
            readings.iter().map(at_step).collect()
        })
        .collect();
    let drifts: Vec<_> = units.iter().map(|unit| drift(unit)).collect();
    let middle = median(drifts.iter().copied());
    let distance = |unit: &usize| (drifts[*unit] - middle).abs();
    let typical = (0..units.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
    let largest = |error: &dyn Fn(&Reading) -> f64| {
        let errors = readings.iter().map(|(_, reading)| error(reading));
        errors.fold(0.0, f64::max)
    };
    Ok(Run {
        arm,
        rate,
        seed,
        record,
        drift: middle,
        width_change: median(units.iter().map(|unit| width_change(unit))),
        typical_unit: typical.map_or_else(Vec::new, |unit| units[unit].clone()),
        mean_error: largest(&|reading| reading.mean_error),
        variance_error: largest(&|reading| reading.variance_error),
        cosine: median(shifts.iter().map(|shift| shift.cosine)),
        relative_distance: median(shifts.iter().map(|shift| shift.relative_distance)),
    })
}

impl Run {
    pub(super) fn json(&self) -> Value {
        let accuracies = self.record.accuracies.iter();
        // At the other rates nobody looks at it.
        let typical_unit = self.typical_unit.iter().filter(|_| self.rate == RATE);
        json!({
            "arm": format!("{:?}", self.arm),
            "rate": rounded(self.rate),
            "seed": self.seed,
            "drift": rounded(self.drift),
            "width_change": rounded(self.width_change),
            "mean_error": rounded(self.mean_error),
            "variance_error": rounded(self.variance_error),
            "gradient_cosine": rounded(self.cosine),
            "gradient_distance": rounded(self.relative_distance),
            "accuracies": accuracies.map(|(step, accuracy)| (step, rounded(*accuracy))).collect::<Vec<_>>(),
            "typical_unit": typical_unit
                .map(|(step, unit)| [*step, rounded(unit.low), rounded(unit.median), rounded(unit.high)])
                .collect::<Vec<_>>(),
        })
    }
}
