//! Gradients against finite differences of the textbook's forward pass.

use batchnorm::{Activation, BatchNormConfig, Cpu, Data, Shape};
use contract_suite::reference::Problem;

use crate::{ELU, LEAKY, betas, gammas, layer, tensor, wave};

const STEP: f64 = 1e-6;

/// Σ y·dy.
fn loss(problem: &Problem) -> f64 {
    let y = problem.forward().y;
    y.iter().zip(&problem.dy).map(|(y, dy)| y * dy).sum()
}

/// The derivative of the loss by one number.
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

fn check(shape: Shape, activation: Activation, residual: bool, frozen: bool) {
    let channels = shape.channels();
    let cpu = Cpu::with_threads(1).unwrap();
    let config = BatchNormConfig::new(channels)
        .epsilon(1e-3)
        .activation(activation);
    let mut layer = layer::<f64>(&cpu, config);
    let running = layer.running().unwrap();
    let running = [running.mean(), running.variance()].map(|array| array.to_vec().unwrap());
    let problem = Problem {
        shape,
        x: wave(shape.len(), 1.7, 0.2),
        gamma: gammas(channels),
        beta: betas(channels),
        epsilon: 1e-3,
        residual: residual.then(|| wave(shape.len(), 2.9, 1.1)),
        activation,
        running: frozen.then(|| running.into()),
        dy: wave(shape.len(), 0.9, 2.3),
    };
    let tensor = |values: &[f64]| tensor::<f64, _>(&cpu, shape, values);
    let (x, dy) = (tensor(&problem.x), tensor(&problem.dy));
    let residual = problem.residual.as_deref().map(tensor);
    let lent = (residual.as_ref()).map(|residual| residual as &dyn Data<Cpu, Element = f64>);
    let pass = if frozen {
        layer.forward_frozen_in_place(x, lent).unwrap()
    } else {
        layer.forward_training_in_place(x, lent).unwrap()
    };
    let found = match &residual {
        Some(residual) => pass.backward_add(residual, &dy).unwrap(),
        None => pass.backward(&dy).unwrap(),
    };
    let dx = found.input.to_vec().unwrap();
    for i in 0..shape.len() {
        let expected = difference(&problem, |problem, by| problem.x[i] += by);
        assert_close("dx", dx[i], expected);
    }
    if let Some(dresidual) = found.residual {
        let dresidual = dresidual.to_vec().unwrap();
        for i in 0..shape.len() {
            let change = |problem: &mut Problem, by| problem.residual.as_mut().unwrap()[i] += by;
            assert_close("dresidual", dresidual[i], difference(&problem, change));
        }
    }
    let dgamma = found.gamma.unwrap().to_vec().unwrap();
    let dbeta = found.beta.unwrap().to_vec().unwrap();
    for c in 0..channels {
        let expected = difference(&problem, |problem, by| problem.gamma[c] += by);
        assert_close("dgamma", dgamma[c], expected);
        let expected = difference(&problem, |problem, by| problem.beta[c] += by);
        assert_close("dbeta", dbeta[c], expected);
    }
}

#[test]
fn every_gradient_is_the_slope_of_the_loss() {
    for shape in [
        Shape::channels_first(&[3, 2, 5]).unwrap(),
        Shape::channels_last(&[2, 3, 3, 2]).unwrap(),
    ] {
        for activation in [Activation::None, LEAKY, ELU] {
            for residual in [false, true] {
                for frozen in [false, true] {
                    check(shape, activation, residual, frozen);
                }
            }
        }
    }
}
