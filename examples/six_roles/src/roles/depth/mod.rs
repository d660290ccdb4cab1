//! Role 4: with batch norm deeper networks train.

mod charts;
mod gradients;
mod trained;

use candle_core::Result;
use serde_json::json;
use tables::markdown::Table;
use tables::spread::short;

use self::charts::figure;
use self::gradients::Gradients;
use self::trained::{AtDepth, STEPS, Trained};
use crate::context::Context;
use crate::initialization::Weights;
use crate::network::{Activation, Architecture};
use crate::normalization::Normalize;
use crate::report::{Bar, Report};

/// Networks of one activation and one initialization, of any depth.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Family {
    activation: Activation,
    weights: Weights,
}

const fn family(activation: Activation, weights: Weights) -> Family {
    Family {
        activation,
        weights,
    }
}

const RELU_DEFAULT: Family = family(Activation::Relu, Weights::Default);
const RELU_HE: Family = family(Activation::Relu, Weights::He);
const TANH_DEFAULT: Family = family(Activation::Tanh, Weights::Default);
const TANH_XAVIER: Family = family(Activation::Tanh, Weights::Xavier);
const SIGMOID_XAVIER: Family = family(Activation::Sigmoid, Weights::Xavier);

impl Family {
    fn architecture(self, depth: usize, normalize: Normalize) -> Architecture {
        Architecture::new((depth, 64), self.activation, self.weights, normalize)
    }

    fn name(self) -> String {
        format!("{} {}", self.activation.name(), self.weights.name())
    }
}

pub(crate) fn measure(context: &Context) -> Result<Report> {
    let families = [SIGMOID_XAVIER, TANH_DEFAULT, RELU_DEFAULT, RELU_HE];
    let gradients = Gradients::measure(context, &families)?;
    let trained = Trained::new(context)?;
    let at_10 = trained.tuned(RELU_DEFAULT, 10).unwrap_or_default();
    let at_20 = trained.tuned(RELU_DEFAULT, 20).unwrap_or_default();
    let he_at_20 = trained.tuned(RELU_HE, 20).unwrap_or_default();
    Ok(Report {
        role: 4,
        title: "depth",
        protocol: format!(
            "64-dx64-10, mini-batches of 60, {STEPS} steps, {} seeds; test accuracy at each arm's rate of least training \
             loss. Weights: He 2/n, Xavier 2/(n + m), default 1/(3n) (PyTorch's linear layer). Gradient ratio: |dL/dz| of \
             the first layer / that of the last, at initialization, 10 seeds.",
            context.seeds(5, 3).len()
        ),
        tables: vec![accuracy_table(&trained), ratio_table(&gradients)],
        bars: bars(&gradients, &trained),
        effect: format!(
            "with PyTorch's default weights the plain network has {} at 10 layers and {} at 20, with batch norm {} and {}; \
             against He weights the gain is modest, {} to {} at 20 layers",
            short(at_10[0]),
            short(at_20[0]),
            short(at_10[1]),
            short(at_20[1]),
            short(he_at_20[0]),
            short(he_at_20[1])
        ),
        limits: limits(&gradients, &trained),
        runs: json!({
            "accuracy": trained.all().map(AtDepth::json).collect::<Vec<_>>(),
            "gradient_ratios": gradients.json(),
        }),
        figure: figure(&gradients, &trained),
    })
}

fn bars(gradients: &Gradients, trained: &Trained) -> Vec<Bar> {
    let grows = |family| gradients.per_layer(family, Normalize::Batch, [20, 30]);
    let shrinks = |family| gradients.per_layer(family, Normalize::No, [5, 10]);
    let sigmoid = |arm| gradients.at(SIGMOID_XAVIER, arm, 20);
    let mut bars = vec![
        Bar::beside(
            "gradients per layer, ReLU BN (theory 1.211)",
            (1.17, 1.29),
            grows(RELU_DEFAULT),
        ),
        Bar::beside(
            "gradients per layer, tanh BN",
            (1.07, 1.15),
            grows(TANH_DEFAULT),
        ),
        Bar::beside(
            "gradients per layer, sigmoid BN",
            (1.0, 1.08),
            grows(SIGMOID_XAVIER),
        ),
        Bar::beside(
            "gradients per layer, ReLU default plain (theory 0.408)",
            (0.36, 0.45),
            shrinks(RELU_DEFAULT),
        ),
        Bar::beside(
            "gradients per layer, tanh default plain (theory 0.577)",
            (0.53, 0.62),
            shrinks(TANH_DEFAULT),
        ),
        Bar::beside(
            "gradients per layer, sigmoid Xavier plain (theory: at most 0.25)",
            (0.2, 0.26),
            shrinks(SIGMOID_XAVIER),
        ),
        Bar::beside(
            "log10 of the gradient ratio, sigmoid plain, depth 20",
            (-13.5, -10.5),
            sigmoid(Normalize::No).log10(),
        ),
        Bar::beside(
            "gradient ratio, sigmoid BN, depth 20",
            (0.5, 6.0),
            sigmoid(Normalize::Batch),
        ),
    ];
    let deep = trained.of(RELU_DEFAULT).filter(|at| at.depth >= 10);
    let best = deep
        .map(|at| at.arms.plain.best_accuracy())
        .fold(0.0, f64::max);
    bars.push(Bar::effect(
        "ReLU default, plain, best over rates and depths from 10",
        (0.0, 0.2),
        best,
    ));
    // Of both arms at a depth that was trained.
    let mut add = |family, depth, bar: &dyn Fn([f64; 2]) -> Bar| {
        bars.extend(trained.tuned(family, depth).map(bar));
    };
    add(RELU_DEFAULT, 2, &|[plain, _]| {
        Bar::beside(
            "ReLU default, plain, depth 2 (the baseline is sound)",
            (0.89, 0.95),
            plain,
        )
    });
    add(RELU_DEFAULT, 5, &|[plain, _]| {
        Bar::beside(
            "ReLU default, plain, depth 5 (the edge of vanishing)",
            (0.5, 0.95),
            plain,
        )
    });
    add(RELU_DEFAULT, 10, &|[_, bn]| {
        Bar::effect("ReLU default, BN, depth 10", (0.9, 0.96), bn)
    });
    add(RELU_DEFAULT, 20, &|[_, bn]| {
        Bar::effect("ReLU default, BN, depth 20", (0.85, 0.95), bn)
    });
    add(RELU_DEFAULT, 30, &|[_, bn]| {
        Bar::beside("ReLU default, BN, depth 30 (degrading)", (0.55, 0.9), bn)
    });
    add(RELU_HE, 10, &|[plain, _]| {
        Bar::beside(
            "ReLU He, plain, depth 10 (the baseline is sound)",
            (0.84, 0.93),
            plain,
        )
    });
    add(RELU_HE, 20, &|[_, bn]| {
        Bar::beside("ReLU He, BN, depth 20", (0.86, 0.94), bn)
    });
    add(RELU_HE, 20, &|[plain, bn]| {
        Bar::beside("ReLU He, BN - plain, depth 20", (0.0, 0.25), bn - plain)
    });
    add(RELU_HE, 30, &|[plain, bn]| {
        Bar::beside("ReLU He, BN - plain, depth 30", (0.0, 0.9), bn - plain)
    });
    bars
}

fn limits(gradients: &Gradients, trained: &Trained) -> Vec<String> {
    let mut limits = vec![format!(
        "Batch norm does not leave gradients alone either: from layer to layer back they grow {} times (ReLU; theory \
         sqrt(pi / (pi - 1)) = 1.211, Yang et al. 2019). Very deep networks without skip connections suffer from it.",
        short(gradients.per_layer(RELU_DEFAULT, Normalize::Batch, [20, 30]))
    )];
    for at in &trained.beyond {
        let [plain, batch_norm] = at.arms.both().map(|runs| runs.tuned_accuracy().to_string());
        limits.push(format!(
            "{} layers, {}: {plain} without and {batch_norm} with batch norm (0 = diverged).",
            at.depth, at.network
        ));
    }
    if let Some([plain, batch_norm]) = trained.tuned(TANH_XAVIER, 20) {
        limits.push(format!("Against tanh with Xavier weights there is no gain to speak of: {} and {} at 20 layers.", short(plain), short(batch_norm)));
    }
    limits.push("Against He weights the gain at 20 layers varies from one set of seeds to another: in the calibration +9.2, +3.0 and +5.4 points.".into());
    limits
}

fn accuracy_table(trained: &Trained) -> Table {
    let mut table = Table::new(["accuracy, tuned rate", "depth", "plain", "BN"]);
    for at in trained.all() {
        let cells = at.arms.both().map(|runs| runs.tuned_accuracy().to_string());
        table.row(
            [at.network.clone(), at.depth.to_string()]
                .into_iter()
                .chain(cells),
        );
    }
    table
}

fn ratio_table(gradients: &Gradients) -> Table {
    let mut table = Table::new(["gradient ratio at depth", "5", "10", "20", "30", "50"]);
    for arm in &gradients.0 {
        let cells = arm.ratios.iter().map(|ratio| short(ratio.median));
        table.row([arm.name()].into_iter().chain(cells));
    }
    table
}
