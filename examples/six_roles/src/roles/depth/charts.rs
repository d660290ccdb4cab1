//! The figure of role 4.

use figures::axis::Axis;
use figures::figure::{BATCH_NORM, Chart, Figure, PLAIN, Series};
use plotters::chart::SeriesLabelPosition::LowerLeft;
use plotters::style::RGBColor;

use super::gradients::{Arm, DEPTHS, Gradients};
use super::trained::{AtDepth, Trained};
use super::{Family, RELU_DEFAULT, RELU_HE, SIGMOID_XAVIER, TANH_DEFAULT};
use crate::normalization::Normalize;
use crate::sweep::Runs;

/// Where a chart has two series of an arm.
const LIGHT_PLAIN: RGBColor = RGBColor(230, 159, 0);
const LIGHT_BATCH_NORM: RGBColor = RGBColor(86, 180, 233);

pub(super) fn figure(gradients: &Gradients, trained: &Trained) -> Figure {
    let mut families: Vec<Family> = Vec::new();
    for (family, _) in &trained.table {
        if !families.contains(family) {
            families.push(*family);
        }
    }
    let mut charts: Vec<_> = families
        .iter()
        .map(|&family| accuracy_chart(trained, family))
        .collect();
    charts.push(gradient_chart(
        gradients,
        "ReLU: gradient of the first / last layer",
        [RELU_DEFAULT, RELU_HE],
    ));
    charts.push(gradient_chart(
        gradients,
        "saturating: gradient of the first / last layer",
        [SIGMOID_XAVIER, TANH_DEFAULT],
    ));
    Figure {
        title: "Role 4: with batch norm deeper networks train".into(),
        caption: "line = median over seeds, band = quartiles; 0.10 = chance, 0 = training diverged"
            .into(),
        columns: 2,
        charts,
    }
}

fn accuracy_chart(trained: &Trained, family: Family) -> Chart {
    let points = |arm: fn(&AtDepth) -> &Runs| {
        trained
            .of(family)
            .map(|at| (at.depth as f64, arm(at).tuned_accuracy()))
            .collect()
    };
    Chart {
        title: format!(
            "{}, each arm at its rate of least training loss",
            family.name()
        ),
        x: Axis::linear("hidden layers", &[0.0, 2.0, 5.0, 10.0, 20.0, 30.0]),
        y: Axis::accuracy(),
        series: vec![
            Series {
                name: "plain".into(),
                colour: PLAIN,
                points: points(|at| &at.arms.plain),
            },
            Series {
                name: "BN".into(),
                colour: BATCH_NORM,
                points: points(|at| &at.arms.batch_norm),
            },
        ],
        legend: LowerLeft,
    }
}

fn gradient_chart(gradients: &Gradients, title: &str, families: [Family; 2]) -> Chart {
    let colour = |arm: &Arm| match (arm.normalize, arm.family == families[0]) {
        (Normalize::No, true) => PLAIN,
        (Normalize::No, false) => LIGHT_PLAIN,
        (_, true) => BATCH_NORM,
        (_, false) => LIGHT_BATCH_NORM,
    };
    let arms = gradients
        .0
        .iter()
        .filter(|arm| families.contains(&arm.family));
    let depths = DEPTHS.map(|depth| depth as f64);
    Chart {
        title: title.into(),
        x: Axis::linear("hidden layers", &[0.0, 5.0, 10.0, 20.0, 30.0, 50.0]),
        y: Axis::logarithmic(
            "ratio of gradient norms at initialization",
            &[1e-32, 1e-24, 1e-16, 1e-8, 1.0, 1e8],
        ),
        series: arms
            .map(|arm| Series {
                name: arm.name(),
                colour: colour(arm),
                points: depths.into_iter().zip(arm.ratios.iter().copied()).collect(),
            })
            .collect(),
        legend: LowerLeft,
    }
}
