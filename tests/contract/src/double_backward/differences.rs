//! Second derivatives by finite differences of the backward pass, in f64.

use batchnorm::backend::Backend;

use crate::double_backward::answer::double_backward;
use crate::double_backward::textbook::Given;
use crate::reference::Problem;
use crate::run::{How, backward, forward};

/// Small enough that no value of these problems comes over a kink, and large enough that rounding is not seen.
const STEP: f64 = 1e-5;

/// The scalar whose gradients with respect to those of the backward pass are given.
fn loss<B: Backend>(backend: &B, problem: &Problem, given: &Given) -> f64 {
    let answer = forward::<f64, B>(backend, problem, How::Fused);
    let gradients = backward::<f64, B>(backend, problem, &answer, How::Fused, false);
    let dot = |of: &Option<Vec<f64>>, gradient: Option<&Vec<f64>>| match (of, gradient) {
        (Some(of), Some(gradient)) => of.iter().zip(gradient).map(|(a, b)| a * b).sum(),
        _ => 0.0,
    };
    dot(&given.input, Some(&gradients.dx))
        + dot(&given.residual, gradients.dresidual.as_ref())
        + dot(&given.gamma, Some(&gradients.dgamma))
        + dot(&given.beta, Some(&gradients.dbeta))
}

/// What a problem has of one kind.
type Values = fn(&mut Problem) -> &mut Vec<f64>;

/// The slope of the loss along each of them.
fn slopes<B: Backend>(backend: &B, problem: &Problem, given: &Given, of: Values) -> Vec<f64> {
    let mut moved = problem.clone();
    (0..of(&mut moved).len())
        .map(|i| {
            let before = of(&mut moved)[i];
            let [above, below] = [STEP, -STEP].map(|step| {
                of(&mut moved)[i] = before + step;
                loss(backend, &moved, given)
            });
            of(&mut moved)[i] = before;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// Holds second derivatives against the slopes of what they are derivatives of.
pub(crate) fn check<B: Backend>(backend: &B, problem: &Problem, given: &Given) {
    let answer = forward::<f64, B>(backend, problem, How::Fused);
    let (result, found) = double_backward::<f64, B>(backend, problem, &answer, given);
    result.unwrap();
    let kinds: [(&str, &[f64], Values); 3] = [
        ("dy", &found.dy, |problem| &mut problem.dy),
        ("x", &found.x, |problem| &mut problem.x),
        ("gamma", &found.gamma, |problem| &mut problem.gamma),
    ];
    for (what, found, of) in kinds {
        let expected = slopes(backend, problem, given, of);
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!(
                (found - expected).abs() <= 1e-7 * (1.0 + expected.abs()),
                "of {what}[{i}] of {} is {found}, differences give {expected}",
                problem.shape
            );
        }
    }
    // And nothing comes from β, or from the residual.
    let mut moved = problem.clone();
    for beta in &mut moved.beta {
        *beta += STEP;
    }
    for residual in moved.residual.iter_mut().flatten() {
        *residual += STEP;
    }
    let (before, after) = (loss(backend, problem, given), loss(backend, &moved, given));
    assert!((before - after).abs() <= 1e-12 * (1.0 + before.abs()));
}
