//! Answers held against the textbook.

use batchnorm::Element;
use batchnorm::backend::Backend;

use crate::activation_error::{ActivationError, is_computed};
use crate::data::{round, wide};
use crate::reference::{Forward, Problem, slope_of};
use crate::run::{Answer, BackwardAnswer, How, backward, forward};
use crate::tolerance::{Additions, Tolerance};

/// Forward, held against the textbook.
pub fn check_forward<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    how: How,
) -> (Answer<T, B>, Forward) {
    let additions = Additions::of::<T, B>(backend, &problem.shape);
    check_forward_within(backend, problem, how, additions)
}

fn check_forward_within<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    how: How,
    additions: Additions,
) -> (Answer<T, B>, Forward) {
    let answer = forward::<T, B>(backend, problem, how);
    let expected = hold_forward(problem, &ForwardAnswer::of(backend, &answer), additions);
    (answer, expected)
}

/// What of a forward pass is held against the textbook.
pub struct ForwardAnswer<'a, T: Element> {
    /// Mean, variance and inv_std of each channel.
    pub statistics: [Vec<f64>; 3],
    pub y: &'a [T],
}

impl<'a, T: Element> ForwardAnswer<'a, T> {
    /// On the host.
    pub fn of<B: Backend>(backend: &B, answer: &'a Answer<T, B>) -> Self {
        let statistics = answer.statistics.each_ref().map(|array| {
            let array = B::as_slice::<T::Compute>(array);
            wide(&backend.download::<T::Compute>(array).unwrap())
        });
        let [mean, _, variance, inv_std] = statistics;
        Self {
            statistics: [mean, variance, inv_std],
            y: &answer.y,
        }
    }
}

/// Holds a forward pass against the textbook, whose sums take so many additions; returns the textbook's.
pub fn hold_forward<T: Element>(
    problem: &Problem,
    found: &ForwardAnswer<'_, T>,
    additions: Additions,
) -> Forward {
    let expected = problem.forward();
    let tolerance = Tolerance {
        problem,
        forward: &expected,
        additions,
    };
    let [mean, variance, inv_std] = &found.statistics;
    for c in 0..problem.shape.channels() {
        if problem.running.is_none() {
            close(
                "mean",
                problem,
                c,
                mean[c],
                expected.mean[c],
                tolerance.mean::<T>(c),
            );
            // A variance beyond the type's range is stored as infinity, as any value is.
            let storable = round::<T::Compute>(expected.variance[c]);
            let nearest = if storable.is_infinite() {
                storable
            } else {
                expected.variance[c]
            };
            close(
                "variance",
                problem,
                c,
                variance[c],
                nearest,
                tolerance.variance::<T>(c),
            );
        }
        close(
            "inv_std",
            problem,
            c,
            inv_std[c],
            expected.inv_std[c],
            tolerance.inv_std::<T>(c),
        );
        for i in problem.channel(c) {
            close(
                "y",
                problem,
                i,
                found.y[i].to_f64(),
                expected.y[i],
                ActivationError::of::<T>(problem, &expected).y::<T>(i, tolerance.y::<T>(c, i)),
            );
        }
    }
    expected
}

/// Forward and backward, held against the textbook.
pub fn check_backward<T: Element, B: Backend>(backend: &B, problem: &Problem, how: How) {
    let additions = Additions::of::<T, B>(backend, &problem.shape);
    check_backward_within::<T, B>(backend, problem, how, additions);
}

/// The same where sums go through so many additions.
pub fn check_backward_within<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    how: How,
    additions: Additions,
) {
    let (answer, expected) = check_forward_within::<T, B>(backend, problem, how, additions);
    let found = backward::<T, B>(backend, problem, &answer, how, false);
    hold_backward(problem, &answer.y, &expected, &found, additions);
}

/// Holds a backward pass against the textbook. `y` is what the forward pass stored, `expected` what the textbook has there.
pub fn hold_backward<T: Element>(
    problem: &Problem,
    y: &[T],
    expected: &Forward,
    found: &BackwardAnswer<T>,
    additions: Additions,
) {
    // A value within rounding of a kink may fall on either side. Where y tells the slope, the side is that of the y that was stored.
    let slope = |i: usize| match problem.activation {
        activation if is_computed(activation) => slope_of(activation, expected.v[i]),
        activation if y[i].to_f64() <= 0.0 => slope_of(activation, -1.0),
        activation if y[i].to_f64() >= 6.0 => slope_of(activation, 7.0),
        activation => slope_of(activation, 1.0),
    };
    let gradients = problem.backward(expected, slope);
    let tolerance = Tolerance {
        problem,
        forward: expected,
        additions,
    };
    let error = ActivationError::of::<T>(problem, expected);
    for c in 0..problem.shape.channels() {
        let of_activation = error.gradients::<T>(c, |i| tolerance.y::<T>(c, i));
        let bound = tolerance.gradients::<T>(c, &gradients);
        close(
            "dgamma",
            problem,
            c,
            found.dgamma[c].to_f64(),
            gradients.dgamma[c],
            bound.dgamma + of_activation.dgamma,
        );
        close(
            "dbeta",
            problem,
            c,
            found.dbeta[c].to_f64(),
            gradients.dbeta[c],
            bound.dbeta + of_activation.dbeta,
        );
        for i in problem.channel(c) {
            let bound = bound.dx::<T>(gradients.dv[i], expected.x_hat[i], gradients.dx[i])
                + of_activation.dx(error.dv::<T>(i, tolerance.y::<T>(c, i)), expected.x_hat[i]);
            close(
                "dx",
                problem,
                i,
                found.dx[i].to_f64(),
                gradients.dx[i],
                bound,
            );
            if let Some(dresidual) = &found.dresidual {
                close(
                    "dresidual",
                    problem,
                    i,
                    dresidual[i].to_f64(),
                    gradients.dv[i],
                    error.stored_dv::<T>(i, tolerance.y::<T>(c, i)),
                );
            }
        }
    }
}

/// `found` within `bound` of `expected`; NaN is NaN and an infinity the same infinity.
pub fn close(what: &str, problem: &Problem, at: usize, found: f64, expected: f64, bound: f64) {
    let same = found == expected || (found.is_nan() && expected.is_nan());
    assert!(
        same || (found - expected).abs() <= bound,
        "{what}[{at}] of {} is {found:e}, the textbook has {expected:e}: off by {:e}, allowed are {bound:e}",
        problem.shape,
        (found - expected).abs(),
    );
}
