//! A problem whose batch is renormalized, given to a backend.

use batchnorm::Element;
use batchnorm::backend::{Backend, RenormalizedMut, RunningReference, composed};

use crate::data::wide;
use crate::reference::Problem;
use crate::run::{Answer, ForwardOperands, How, Running, forward_by, unwritten, uploaded};

/// A problem, and what its batch is renormalized against.
pub(crate) struct RenormalizedProblem {
    pub problem: Problem,
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
    pub r_max: f64,
    pub d_max: f64,
}

impl RenormalizedProblem {
    /// With the running statistics of the problem for a reference, which it then does not normalize with.
    pub(crate) fn of(mut problem: Problem, [r_max, d_max]: [f64; 2]) -> Self {
        let (mean, variance) = problem.running.take().expect("running statistics");
        Self {
            problem,
            mean,
            variance,
            r_max,
            d_max,
        }
    }
}

/// What a backend answered.
pub(crate) struct RenormalizedAnswer<T: Element, B: Backend> {
    pub answer: Answer<T, B>,
    /// γ·R, β + γ·D, R and D.
    pub factors: [Vec<f64>; 4],
    /// Mean and variance, after they have followed the batch with a weight of a quarter.
    pub running: [Vec<T::Compute>; 2],
}

pub(crate) fn forward<T: Element, B: Backend>(
    backend: &B,
    given: &RenormalizedProblem,
    how: How,
) -> RenormalizedAnswer<T, B> {
    let shape = &given.problem.shape;
    let mean = uploaded::<T::Compute, B>(backend, &given.mean);
    let variance = uploaded::<T::Compute, B>(backend, &given.variance);
    let reference = RunningReference {
        mean: B::as_slice(&mean),
        variance: B::as_slice(&variance),
        r_max: given.r_max,
        d_max: given.d_max,
    };
    let mut factors = [0; 4].map(|_| unwritten::<T::Compute, B>(backend, shape.channels()));
    let [gamma, beta, r, d] = &mut factors;
    let renormalized = RenormalizedMut {
        gamma: B::as_slice_mut(gamma),
        beta: B::as_slice_mut(beta),
        r: B::as_slice_mut(r),
        d: B::as_slice_mut(d),
    };
    let mut running = Running::new(backend, &given.mean, &given.variance, false);
    let step = |operands: ForwardOperands<'_, T, B>| {
        let ForwardOperands {
            x,
            affine,
            epilogue,
            y,
            out,
        } = operands;
        match how {
            How::Fused => backend.forward_renormalized::<T>(
                shape,
                x,
                affine,
                reference,
                epilogue,
                y,
                out,
                renormalized,
            ),
            How::Composed => composed::forward_renormalized::<B, T>(
                backend,
                shape,
                x,
                affine,
                reference,
                epilogue,
                y,
                out,
                renormalized,
            ),
        }
    };
    let answer = forward_by(backend, &given.problem, Some(&mut running), step);
    let download =
        |array: &B::Buffer<T::Compute>| backend.download::<T::Compute>(B::as_slice(array)).unwrap();
    RenormalizedAnswer {
        factors: factors.each_ref().map(|array| wide(&download(array))),
        running: running.download(backend),
        answer,
    }
}

/// The problem without renormalization that has the same y and dx: with these factors.
pub(crate) fn plain(given: &RenormalizedProblem, factors: &[Vec<f64>; 4]) -> Problem {
    let [gamma, beta, ..] = factors.clone();
    Problem {
        gamma,
        beta,
        ..given.problem.clone()
    }
}
