//! Gradients against finite differences of the textbook's forward pass, with R and D held constant.

use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Renormalization, Shape};
use contract_suite::reference::Problem;

use crate::{tensor, wave};

const LIMITS: [[f64; 2]; 2] = [[1.1, 0.2], [5.0, 5.0]];
const STEP: f64 = 1e-6;

/// A problem, and the R and D of each of its channels.
#[derive(Clone)]
struct RenormalizedProblem {
    problem: Problem,
    r: Vec<f64>,
    d: Vec<f64>,
}

impl RenormalizedProblem {
    /// Σ y·dy.
    fn loss(&self) -> f64 {
        let Problem { gamma, beta, .. } = &self.problem;
        let channels = 0..gamma.len();
        let plain = Problem {
            gamma: channels.clone().map(|c| gamma[c] * self.r[c]).collect(),
            beta: channels.map(|c| beta[c] + gamma[c] * self.d[c]).collect(),
            ..self.problem.clone()
        };
        let y = plain.forward().y;
        y.iter().zip(&plain.dy).map(|(y, dy)| y * dy).sum()
    }

    /// The derivative of the loss by one number.
    fn difference(&self, change: impl Fn(&mut Problem, f64)) -> f64 {
        let moved = |by: f64| {
            let mut moved = self.clone();
            change(&mut moved.problem, by);
            moved.loss()
        };
        (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
    }
}

/// Central differences with this step are off by some 1e-9 of the values involved, which are near 1.
fn assert_close(what: &str, found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 2e-7 * (1.0 + expected.abs()),
        "{what}: {found} against {expected}"
    );
}

fn check(shape: Shape, activation: Activation, residual: bool, [r_max, d_max]: [f64; 2]) {
    let channels = shape.channels();
    let problem = Problem {
        shape,
        x: wave(shape.len(), 1.7, 0.2),
        gamma: (0..channels)
            .map(|c| if c % 2 == 0 { 1.3 } else { -0.7 })
            .collect(),
        beta: (0..channels).map(|c| 0.3 - 0.2 * c as f64).collect(),
        epsilon: 1e-3,
        residual: residual.then(|| wave(shape.len(), 2.9, 1.1)),
        activation,
        running: None,
        dy: wave(shape.len(), 0.9, 2.3),
    };
    let (mean, variance) = (vec![0.1; channels], vec![0.8; channels]);
    let of_batch = problem.forward();
    let s = (0.8f64 + problem.epsilon).sqrt();
    let r = |c: usize| (1.0 / (of_batch.inv_std[c] * s)).clamp(1.0 / r_max, r_max);
    let d = |c: usize| ((of_batch.mean[c] - mean[c]) / s).clamp(-d_max, d_max);
    let given = RenormalizedProblem {
        r: (0..channels).map(r).collect(),
        d: (0..channels).map(d).collect(),
        problem,
    };

    let cpu = Cpu::with_threads(1).unwrap();
    let config = BatchNormConfig::new(channels)
        .epsilon(given.problem.epsilon)
        .activation(activation)
        .renormalization(Renormalization::new(r_max, d_max));
    let mut layer = BatchNorm::<_, f64>::with_compute(&cpu, config).unwrap();
    layer
        .gamma_mut()
        .unwrap()
        .set(&given.problem.gamma)
        .unwrap();
    layer.beta_mut().unwrap().set(&given.problem.beta).unwrap();
    layer
        .running_mut()
        .unwrap()
        .set(&mean, &variance, 1)
        .unwrap();
    let tensor = |values: &[f64]| tensor::<f64, _>(&cpu, shape, values);
    let x = tensor(&given.problem.x);
    let (_, pass) = match &given.problem.residual {
        Some(residual) => layer.forward_training_add(&x, &tensor(residual)),
        None => layer.forward_training(&x),
    }
    .unwrap();
    let found = pass.backward(&tensor(&given.problem.dy)).unwrap();
    let [dx, dgamma, dbeta] = [
        found.input.to_vec().unwrap(),
        found.gamma.unwrap().to_vec().unwrap(),
        found.beta.unwrap().to_vec().unwrap(),
    ];
    for i in 0..shape.len() {
        assert_close(
            "dx",
            dx[i],
            given.difference(|problem, by| problem.x[i] += by),
        );
    }
    for c in 0..channels {
        let expected = given.difference(|problem, by| problem.gamma[c] += by);
        assert_close("dgamma", dgamma[c], expected);
        let expected = given.difference(|problem, by| problem.beta[c] += by);
        assert_close("dbeta", dbeta[c], expected);
    }
}

#[test]
fn every_gradient_is_the_slope_of_the_loss() {
    for shape in [
        Shape::channels_first(&[3, 2, 5]).unwrap(),
        Shape::channels_last(&[2, 3, 3, 2]).unwrap(),
    ] {
        for activation in [
            Activation::None,
            Activation::Relu,
            Activation::LeakyRelu { slope: 0.3 },
            Activation::Silu,
        ] {
            for (residual, limits) in [(false, LIMITS[0]), (true, LIMITS[0]), (false, LIMITS[1])] {
                check(shape, activation, residual, limits);
            }
        }
    }
}
