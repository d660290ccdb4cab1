//! Role 1: batch norm keeps the distribution of a layer's inputs in place while the layers before it learn
//! (Ioffe & Szegedy 2015, Fig. 1).

mod charts;
mod gradient_shift;
mod reading;
mod run;

use candle_core::Result;
use figures::figure::Figure;
use tables::markdown::Table;
use tables::spread::{Spread, short};

use self::charts::charts;
use self::run::{Run, run};
use crate::context::Context;
use crate::initialization::Weights;
use crate::network::{Activation, Architecture};
use crate::normalization::Normalize;
use crate::report::{Bar, Report};
use crate::sweep::powers_of_ten;

/// The learning rate at which the arms are compared.
const RATE: f64 = 1.0;

/// Plain, with batch norm, and with batch norm that noise is added to.
const ARMS: [(&str, Normalize); 3] = [
    ("plain", Normalize::No),
    ("BN", Normalize::Batch),
    ("BN + noise", Normalize::BatchWithNoise),
];

fn architecture(normalize: Normalize) -> Architecture {
    Architecture::new(
        (3, 100),
        Activation::Sigmoid,
        Weights::Deviation(0.1),
        normalize,
    )
}

type Measure = fn(&Run) -> f64;

fn drift(run: &Run) -> f64 {
    run.drift
}

fn width_change(run: &Run) -> f64 {
    run.width_change
}

fn steps_to_85(run: &Run) -> f64 {
    run.record.steps_to_accuracy(0.85)
}

fn accuracy(run: &Run) -> f64 {
    run.record.final_accuracy()
}

fn cosine(run: &Run) -> f64 {
    run.cosine
}

/// All runs.
struct Runs(Vec<Run>);

impl Runs {
    fn spread(&self, arm: Normalize, rate: f64, measure: Measure) -> Spread {
        let runs = self.0.iter();
        let runs = runs.filter(|run| run.arm == arm && run.rate == rate);
        Spread::of(runs.map(measure))
    }

    /// The medians of plain, BN and BN + noise.
    fn medians(&self, measure: Measure) -> [f64; 3] {
        ARMS.map(|(_, arm)| self.spread(arm, RATE, measure).median)
    }

    /// The largest over all runs with batch norm alone.
    fn largest(&self, measure: Measure) -> f64 {
        let runs = self.0.iter().filter(|run| run.arm == Normalize::Batch);
        runs.map(measure).fold(0.0, f64::max)
    }
}

pub(crate) fn measure(context: &Context) -> Result<Report> {
    let seeds = context.seeds(10, 3);
    let rates = context.choose(powers_of_ten(-2..=3, 2), vec![RATE]);
    let mut jobs = Vec::new();
    for (_, arm) in ARMS {
        for &rate in &rates {
            jobs.extend(seeds.iter().map(|&seed| (arm, rate, seed)));
        }
    }
    let runs = Runs(context.runner.all(
        "role 1: inputs of a layer",
        &jobs,
        |&(arm, rate, seed)| run(context, arm, rate, seed),
    )?);

    let drifts = runs.medians(drift);
    let widths = runs.medians(width_change);
    Ok(Report {
        role: 1,
        title: "normalizes the inputs of layers",
        protocol: format!(
            "64-100-100-100-10 sigmoid, weights N(0, 0.1²), mini-batches of 60, 1200 steps, {} seeds. Read at 25 of the \
             steps, on 600 training images: the inputs of the last hidden layer's sigmoids. Drift: standard deviation of \
             a unit's median over time / its mean width (percentiles 15 to 85). Width change: its largest / smallest \
             width. Both: median over the units. Gradient cosine and distance: how the gradient of that layer's weights \
             turns when the layers before it take their step.",
            seeds.len()
        ),
        tables: tables(&runs, &rates),
        bars: bars(&runs),
        effect: format!(
            "a unit's inputs drift by {} of their width with batch norm and by {} without, {} times less; their width \
             changes {} times instead of {} times",
            short(drifts[1]),
            short(drifts[0]),
            short(drifts[0] / drifts[1]),
            short(widths[1]),
            short(widths[0])
        ),
        limits: limits(&runs),
        runs: runs.0.iter().map(Run::json).collect(),
        figure: Figure {
            title: "Role 1: batch norm keeps the inputs of a layer in place".into(),
            caption: "64-100-100-100-10 sigmoid, learning rate 1. First three: inputs of the last hidden layer's unit of \
                      median drift, line = median, band = percentiles 15 to 85 of 600 images"
                .into(),
            columns: 2,
            charts: charts(&runs, seeds[0]),
        },
    })
}

fn bars(runs: &Runs) -> Vec<Bar> {
    let drifts = runs.medians(drift);
    let widths = runs.medians(width_change);
    let speeds = runs.medians(steps_to_85);
    let accuracies = runs.medians(accuracy);
    let cosines = runs.medians(cosine);
    vec![
        Bar::beside(
            "largest |mean| of normalized inputs",
            (0.0, 1e-4),
            runs.largest(|run| run.mean_error),
        ),
        Bar::beside(
            "largest |variance of normalized inputs - s²/(s² + ε)|",
            (0.0, 1e-4),
            runs.largest(|run| run.variance_error),
        ),
        Bar::effect("drift, BN", (0.0, 0.05), drifts[1]),
        Bar::beside("drift, plain", (0.15, 0.4), drifts[0]),
        Bar::effect("drift, plain / BN", (5.0, 20.0), drifts[0] / drifts[1]),
        Bar::effect("width change, BN", (1.3, 2.2), widths[1]),
        Bar::beside("width change, plain", (35.0, 120.0), widths[0]),
        Bar::beside("steps to 85 %, BN", (0.0, 100.0), speeds[1]),
        Bar::beside("steps to 85 %, plain", (200.0, 600.0), speeds[0]),
        Bar::beside(
            "final accuracy, plain (the baseline is sound)",
            (0.89, 0.95),
            accuracies[0],
        ),
        Bar::beside("final accuracy, BN", (0.91, 0.96), accuracies[1]),
        Bar::beside(
            "drift, BN + noise / plain",
            (1.2, 4.0),
            drifts[2] / drifts[0],
        ),
        Bar::beside("steps to 85 %, BN + noise", (0.0, 160.0), speeds[2]),
        Bar::beside(
            "gradient cosine, BN - plain (no clear gain)",
            (-0.15, 0.15),
            cosines[1] - cosines[0],
        ),
    ]
}

fn limits(runs: &Runs) -> Vec<String> {
    let drifts = runs.medians(drift);
    let speeds = runs.medians(steps_to_85);
    let cosines = runs.medians(cosine);
    vec![
            format!(
                "Less drift is not what makes training fast: with noise after batch norm the inputs drift {} times as \
                 much as in the plain network, and it still takes {} steps to 85 % instead of {} (after Santurkar et al. \
                 2018).",
                short(drifts[2] / drifts[0]),
                short(speeds[2]),
                short(speeds[0])
            ),
            format!(
                "The shift of gradients is not reduced: cosine {} with batch norm, {} without.",
                short(cosines[1]),
                short(cosines[0])
            ),
            "The drift with batch norm grows with the learning rate: the arms are compared at the same rate, 1. At the \
             rate that is best for each (3.2 and 10 in the calibration) they drift about as much."
                .into(),
        ]
}

fn tables(runs: &Runs, rates: &[f64]) -> Vec<Table> {
    let mut at_one_rate = Table::new([
        "learning rate 1",
        "drift",
        "width change",
        "steps to 85 %",
        "accuracy",
        "gradient cosine",
        "gradient distance",
    ]);
    let measures: [Measure; 6] = [drift, width_change, steps_to_85, accuracy, cosine, |run| {
        run.relative_distance
    }];
    for (name, arm) in ARMS {
        let mut cells = measures.map(|measure| runs.spread(arm, RATE, measure).to_string());
        if arm == Normalize::BatchWithNoise {
            // The noise is another one before and after the step, and turns the gradient by itself.
            cells[4..].fill("-".into());
        }
        at_one_rate.row([name.into()].into_iter().chain(cells));
    }
    if rates.len() == 1 {
        return vec![at_one_rate];
    }
    let mut drifts = Table::new(["learning rate", "drift, plain", "BN", "BN + noise"]);
    for &rate in rates {
        let cells = ARMS.map(|(_, arm)| runs.spread(arm, rate, drift).to_string());
        drifts.row([short(rate)].into_iter().chain(cells));
    }
    vec![at_one_rate, drifts]
}
