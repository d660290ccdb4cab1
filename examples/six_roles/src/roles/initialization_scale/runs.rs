//! Training runs from initial weights of all scales.

use std::ops::RangeInclusive;

use candle_core::Result;
use figures::axis::Axis;
use figures::figure::Chart;
use plotters::chart::SeriesLabelPosition::MiddleLeft;
use serde_json::{Map, Value};
use tables::spread::Spread;

use crate::context::Context;
use crate::initialization::Weights;
use crate::network::{Activation, Architecture, Network};
use crate::normalization::Normalize;
use crate::sweep::{Arms, Runs, compare, powers_of_ten, sweep};
use crate::training::Schedule;

/// What the weights are multiplied by.
pub(super) const SCALES: [f32; 8] = [0.001, 0.01, 0.1, 0.316, 1.0, 3.16, 10.0, 100.0];
/// Those at which the plain network fails.
pub(super) const EXTREME: [f32; 5] = [0.001, 0.01, 0.1, 10.0, 100.0];

/// Which weights are scaled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scaled {
    /// Those that batch norm follows.
    Hidden,
    /// Those of the output layer as well.
    All,
}

fn network(
    context: &Context,
    (scaled, scale): (Scaled, f32),
    normalize: Normalize,
    seed: u64,
) -> Result<Network> {
    let architecture = Architecture {
        hidden_scale: scale,
        output_scale: if scaled == Scaled::All { scale } else { 1.0 },
        ..Architecture::new((4, 64), Activation::Relu, Weights::He, normalize)
    };
    Network::new(&architecture, seed, &context.device)
}

fn schedule(rate: f64, seed: u64) -> Schedule {
    Schedule::new(300, rate, seed).tested_at_the_end()
}

/// The runs at each of [`SCALES`].
pub(super) struct AtScales(Vec<Arms>);

impl AtScales {
    pub(super) fn measure(context: &Context, scaled: Scaled, rates: &[f64]) -> Result<Self> {
        let name = match scaled {
            Scaled::Hidden => "role 3: scale of hidden weights",
            Scaled::All => "role 3: scale of all weights",
        };
        let build = |scale, normalize, seed| network(context, (scaled, scale), normalize, seed);
        let seeds = context.seeds(5, 3);
        Ok(Self(compare(
            context,
            name,
            &SCALES,
            (rates, &seeds),
            build,
            schedule,
        )?))
    }

    /// The least median with batch norm over these scales.
    pub(super) fn least(
        &self,
        scales: RangeInclusive<f32>,
        accuracy: impl Fn(&Runs) -> Spread,
    ) -> f64 {
        let medians = SCALES
            .iter()
            .zip(&self.0)
            .filter(|(scale, _)| scales.contains(scale))
            .map(|(_, arms)| accuracy(&arms.batch_norm).median);
        medians.fold(1.0, f64::min)
    }

    pub(super) fn at(&self, scale: f32) -> impl Iterator<Item = &Arms> {
        let arms = SCALES.iter().zip(&self.0);
        arms.filter(move |(at, _)| **at == scale)
            .map(|(_, arms)| arms)
    }

    pub(super) fn chart(&self, title: String, accuracy: impl Fn(&Runs) -> Spread) -> Chart {
        let marks = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0];
        let mut series = self.0[0].series(|_| Vec::new());
        for (scale, arms) in SCALES.iter().zip(&self.0) {
            for (line, runs) in series.iter_mut().zip(arms.both()) {
                line.points.push((f64::from(*scale), accuracy(runs)));
            }
        }
        Chart {
            title,
            x: Axis::logarithmic("initial weights, times those of He", &marks),
            y: Axis::accuracy(),
            series,
            legend: MiddleLeft,
        }
    }

    pub(super) fn json(&self) -> Value {
        let arms = SCALES.iter().zip(&self.0);
        arms.map(|(scale, arms)| (scale.to_string(), arms.json()))
            .collect::<Map<_, _>>()
            .into()
    }
}

/// The plain network at [`EXTREME`] scales of the hidden weights, over 18 decades of learning rates.
pub(super) fn plain_over_all_rates(context: &Context) -> Result<Vec<Runs>> {
    let name = "role 3: plain, 18 decades of rates";
    let rates = powers_of_ten(-16..=1, 1);
    let seeds = context.seeds(5, 3);
    let build = |scale, seed| network(context, (Scaled::Hidden, scale), Normalize::No, seed);
    sweep(context, name, &EXTREME, (&rates, &seeds), build, schedule)
}
