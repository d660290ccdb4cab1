//! The figure of role 6.

use figures::axis::Axis;
use figures::figure::{Chart, Figure};
use plotters::chart::SeriesLabelPosition::{LowerRight, MiddleLeft, MiddleRight};

use super::Results;
use super::stack::TANH;
use crate::sweep::powers_of_ten;
use crate::training::Record;

/// A row of charts for each sigmoid network.
pub(super) fn figure(results: &Results) -> Figure {
    let steps = [0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0];
    let mut charts = Vec::new();
    let sigmoid = results.0.iter().filter(|(stack, _)| *stack != TANH);
    for (stack, arms) in sigmoid {
        let legend = if stack.depth > 3 {
            MiddleRight
        } else {
            LowerRight
        };
        charts.push(Chart {
            title: format!("{}, each arm at its tuned rate", stack.name()),
            x: Axis::linear("training step", &steps),
            y: Axis::accuracy(),
            series: arms.series(|runs| runs.over_steps(runs.tuned_rate())),
            legend,
        });
        charts.push(Chart {
            title: format!("{}, after 600 steps", stack.name()),
            x: Axis::logarithmic("learning rate", &powers_of_ten(-1..=1, 1))
                .covering(&arms.plain.rates),
            y: Axis::accuracy(),
            series: arms.series(|runs| runs.over_rates(Record::final_accuracy)),
            legend: MiddleLeft,
        });
    }
    Figure {
        title: "Role 6: with batch norm sigmoid networks train, deep ones too".into(),
        caption: "line = median over seeds, band = quartiles; 0.10 = chance; tuned = rate of least training loss".into(),
        columns: 2,
        charts,
    }
}
