//! Gradients against finite differences: of the f64 textbook's forward pass, through every epilogue, and of the crate's
//! own forward pass in f64.

use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
use contract_suite::reference::Problem;

/// A problem with fixed, irregular values, away from ReLU's kink.
fn problem(shape: Shape, activation: Activation, residual: bool, frozen: bool) -> Problem {
    let channels = shape.channels();
    let wave =
        |i: usize, a: f64, b: f64| (i as f64 * a + b).sin() * 1.3 + (i as f64 * 0.37 + b).cos();
    Problem {
        shape,
        x: (0..shape.len()).map(|i| wave(i, 1.7, 0.2)).collect(),
        gamma: (0..channels)
            .map(|c| if c % 2 == 0 { 1.3 } else { -0.7 })
            .collect(),
        beta: (0..channels).map(|c| 0.3 - 0.2 * c as f64).collect(),
        epsilon: 1e-3,
        residual: residual.then(|| (0..shape.len()).map(|i| wave(i, 2.9, 1.1)).collect()),
        activation,
        running: frozen.then(|| (vec![0.1; channels], vec![0.8; channels])),
        dy: (0..shape.len()).map(|i| wave(i, 0.9, 2.3)).collect(),
    }
}

/// Σ y·dy, whose gradient is what backward computes.
fn loss(problem: &Problem) -> f64 {
    problem
        .forward()
        .y
        .iter()
        .zip(&problem.dy)
        .map(|(y, dy)| y * dy)
        .sum()
}

const STEP: f64 = 1e-6;

/// The derivative of the textbook's loss by one number.
fn difference(problem: &Problem, change: impl Fn(&mut Problem, f64)) -> f64 {
    let moved = |by: f64| {
        let mut moved = problem.clone();
        change(&mut moved, by);
        loss(&moved)
    };
    (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
}

/// Central differences with this step are off by some 1e-9 of the values involved, which are near 1.
fn assert_close(what: &str, found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 2e-7 * (1.0 + expected.abs()),
        "{what}: {found} against {expected}"
    );
}

/// The crate's gradients of a problem, in f64.
struct Found {
    dx: Vec<f64>,
    dresidual: Option<Vec<f64>>,
    dgamma: Vec<f64>,
    dbeta: Vec<f64>,
}

fn found(problem: &Problem) -> Found {
    let cpu = Cpu::with_threads(1).unwrap();
    let config = BatchNormConfig::new(problem.shape.channels())
        .epsilon(problem.epsilon)
        .activation(problem.activation);
    let mut layer: BatchNorm<Cpu, f64> = BatchNorm::with_compute(&cpu, config).unwrap();
    layer.gamma_mut().unwrap().set(&problem.gamma).unwrap();
    layer.beta_mut().unwrap().set(&problem.beta).unwrap();
    if let Some((mean, variance)) = &problem.running {
        layer.running_mut().unwrap().set(mean, variance, 1).unwrap();
    }
    let tensor = |values: &[f64]| Tensor::new(&cpu, problem.shape, values).unwrap();
    let (x, dy) = (tensor(&problem.x), tensor(&problem.dy));
    let residual = problem.residual.as_ref().map(|residual| tensor(residual));
    let (_, pass) = match (&residual, problem.running.is_some()) {
        (None, false) => layer.forward_training(&x).unwrap(),
        (None, true) => layer.forward_frozen(&x).unwrap(),
        (Some(residual), false) => layer.forward_training_add(&x, residual).unwrap(),
        (Some(residual), true) => layer.forward_frozen_add(&x, residual).unwrap(),
    };
    let gradients = pass.backward(&dy).unwrap();
    Found {
        dx: gradients.input.to_vec().unwrap(),
        dresidual: gradients
            .residual
            .map(|residual| residual.to_vec().unwrap()),
        dgamma: gradients.gamma.unwrap().to_vec().unwrap(),
        dbeta: gradients.beta.unwrap().to_vec().unwrap(),
    }
}

#[test]
fn every_gradient_is_the_slope_of_the_loss() {
    for shape in [
        Shape::channels_first(&[3, 2, 5]).unwrap(),
        Shape::channels_last(&[2, 3, 3, 2]).unwrap(),
        Shape::channels_first(&[7, 3]).unwrap(),
    ] {
        let each_with = |(residual, frozen)| {
            Activation::all(0.3, 0.7).map(move |activation| (activation, residual, frozen))
        };
        let sources = [(false, false), (true, false), (false, true), (true, true)];
        for (activation, residual, frozen) in sources.into_iter().flat_map(each_with) {
            let problem = problem(shape, activation, residual, frozen);
            let v = problem.forward().v;
            let distances = v
                .iter()
                .flat_map(|v| [0.0, 6.0, -3.0, 3.0].map(|kink| (v - kink).abs()));
            let nearest = distances.fold(f64::INFINITY, f64::min);
            assert!(nearest > 1e-4, "a value at a kink has no slope: {nearest}");
            let found = found(&problem);
            for i in 0..shape.len() {
                assert_close(
                    "dx",
                    found.dx[i],
                    difference(&problem, |problem, by| problem.x[i] += by),
                );
                if let Some(dresidual) = &found.dresidual {
                    let expected = difference(&problem, |problem, by| {
                        problem.residual.as_mut().unwrap()[i] += by;
                    });
                    assert_close("dresidual", dresidual[i], expected);
                }
            }
            for c in 0..shape.channels() {
                assert_close(
                    "dgamma",
                    found.dgamma[c],
                    difference(&problem, |problem, by| problem.gamma[c] += by),
                );
                assert_close(
                    "dbeta",
                    found.dbeta[c],
                    difference(&problem, |problem, by| problem.beta[c] += by),
                );
            }
        }
    }
}
