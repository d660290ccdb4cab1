//! The charts of role 1.

use figures::axis::Axis;
use figures::figure::{BATCH_NORM, Chart, PLAIN, Series, THIRD};
use plotters::chart::SeriesLabelPosition::LowerRight;
use tables::spread::{Spread, short};

use super::run::Run;
use super::{ARMS, RATE, Runs, drift};

pub(super) fn charts(runs: &Runs, seed: u64) -> Vec<Chart> {
    let steps = || {
        Axis::linear(
            "training step",
            &[0.0, 200.0, 400.0, 600.0, 800.0, 1000.0, 1200.0],
        )
    };
    let at_rate = |arm| move |run: &&Run| run.arm == arm && run.rate == RATE;
    let mut charts = Vec::new();
    let mut speed = Vec::new();
    for ((name, arm), colour) in ARMS.into_iter().zip([PLAIN, BATCH_NORM, THIRD]) {
        let of_seed = runs
            .0
            .iter()
            .filter(at_rate(arm))
            .find(|run| run.seed == seed);
        charts.push(Chart {
            title: format!(
                "{name}: drift {}",
                short(runs.spread(arm, RATE, drift).median)
            ),
            x: steps(),
            y: Axis::linear(
                "input of the sigmoid",
                &[-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0],
            ),
            series: vec![Series {
                name: name.into(),
                colour,
                points: of_seed.map_or_else(Vec::new, |run| run.typical_unit.clone()),
            }],
            legend: LowerRight,
        });
        let checkpoints = of_seed.map_or_else(Vec::new, |run| run.record.accuracies.clone());
        let accuracy = |(step, _): (usize, f64)| {
            let of_seeds = runs.0.iter().filter(at_rate(arm));
            (
                step as f64,
                Spread::of(of_seeds.map(|run| run.record.accuracy_at(step))),
            )
        };
        speed.push(Series {
            name: name.into(),
            colour,
            points: checkpoints.into_iter().map(accuracy).collect(),
        });
    }
    charts.push(Chart {
        title: "and yet noise does not slow it down".into(),
        x: steps(),
        y: Axis::accuracy(),
        series: speed,
        legend: LowerRight,
    });
    charts
}
