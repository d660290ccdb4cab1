//! The charts of role 2.

use figures::axis::Axis;
use figures::figure::Chart;
use plotters::chart::SeriesLabelPosition::{LowerLeft, UpperRight};

use super::comparison::{Comparison, to_accuracy};
use crate::sweep::powers_of_ten;
use crate::training::Record;

fn rate_axis(network: &Comparison) -> Axis {
    let rates = &network.arms.plain.rates;
    let ends = [rates[0], rates[rates.len() - 1]];
    let marks = powers_of_ten(-4..=3, 2);
    let inside = |mark: &f64| (ends[0] * 0.999..=ends[1] * 1.001).contains(mark);
    let marks: Vec<_> = marks.into_iter().filter(inside).collect();
    Axis::logarithmic("learning rate", &marks).covering(rates)
}

pub(super) fn accuracy_chart(network: &Comparison) -> Chart {
    Chart {
        title: format!("{}: accuracy at the end", network.name),
        x: rate_axis(network),
        y: Axis::accuracy(),
        series: network
            .arms
            .series(|runs| runs.over_rates(Record::final_accuracy)),
        legend: LowerLeft,
    }
}

pub(super) fn steps_chart(network: &Comparison) -> Chart {
    let marks = [20.0, 50.0, 100.0, 200.0, 400.0];
    Chart {
        title: format!("{}: steps to 90 % of the test images", network.name),
        x: rate_axis(network),
        y: Axis::logarithmic("training steps (nothing: never)", &marks),
        series: network.arms.series(|runs| runs.over_rates(to_accuracy)),
        legend: UpperRight,
    }
}
