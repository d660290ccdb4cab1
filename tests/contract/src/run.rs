//! A problem given to a backend, and its answer held against the textbook.

use batchnorm::Element;
use batchnorm::backend::{
    Activation, ActivationBackward, Affine, Backend, Epilogue, GradientSumsMut, InOut,
    Normalization, RunningMut, SavedActivation, Statistics, StatisticsMut, StatisticsSource,
    composed,
};

use crate::activation_error::{ActivationError, is_computed};
use crate::data::{round, typed, wide};
use crate::reference::{Forward, Problem, slope_of};
use crate::tolerance::{Additions, Tolerance};

/// Whether the fused operation or the composition of steps is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Fused,
    Composed,
}

/// What a backend answered.
pub struct Answer<T: Element, B: Backend> {
    pub statistics: [B::Buffer<T::Compute>; 4],
    pub mask: B::Mask,
    /// Where the activation saves it; else no value of the answer's.
    pub pre_activation: B::Buffer<T>,
    pub y: Vec<T>,
}

/// What a backend answered on the way back.
#[derive(Debug, Clone, PartialEq)]
pub struct BackwardAnswer<T: Element> {
    pub dx: Vec<T>,
    pub dresidual: Option<Vec<T>>,
    pub dgamma: Vec<T::Compute>,
    pub dbeta: Vec<T::Compute>,
}

pub fn forward<T: Element, B: Backend>(backend: &B, problem: &Problem, how: How) -> Answer<T, B> {
    let shape = &problem.shape;
    let x = backend.upload(&typed::<T>(&problem.x)).unwrap();
    let residual = problem
        .residual
        .as_ref()
        .map(|residual| backend.upload(&typed::<T>(residual)).unwrap());
    let gamma = backend
        .upload(&typed::<T::Compute>(&problem.gamma))
        .unwrap();
    let beta = backend.upload(&typed::<T::Compute>(&problem.beta)).unwrap();
    // Every place holds a value that no answer has, so that an unwritten one shows.
    let unwritten = vec![T::Compute::from_f64(-77.0); shape.channels()];
    let mut statistics = [0; 4].map(|_| backend.upload(&unwritten).unwrap());
    let mut y = backend
        .upload(&vec![T::from_f64(-77.0); shape.len()])
        .unwrap();
    let mut mask = backend.mask::<T>(shape).unwrap();
    let mut pre_activation = backend
        .upload(&vec![T::from_f64(-77.0); shape.len()])
        .unwrap();
    {
        let activation = problem.activation;
        let epilogue = Epilogue {
            activation,
            residual: residual.as_ref().map(|residual| B::as_slice(residual)),
            saved: match activation.saves(residual.is_some()) {
                SavedActivation::Mask(()) => SavedActivation::Mask(&mut mask),
                SavedActivation::PreActivation(()) => {
                    SavedActivation::PreActivation(B::as_slice_mut(&mut pre_activation))
                }
                _ => SavedActivation::Nothing,
            },
        };
        let (x, y) = (B::as_slice(&x), B::as_slice_mut(&mut y));
        if let Some((mean, variance)) = &problem.running {
            let values = [mean.clone(), vec![0.0; shape.channels()], variance.clone()];
            for (to, from) in statistics.iter_mut().zip(values) {
                *to = backend.upload(&typed::<T::Compute>(&from)).unwrap();
            }
            let [_, _, variance, inv_std] = &mut statistics;
            backend
                .inverse_std::<T::Compute>(
                    B::as_slice(variance),
                    problem.epsilon,
                    B::as_slice_mut(inv_std),
                )
                .unwrap();
            let with = normalization::<T, B>(&statistics, &gamma, &beta);
            backend
                .normalize::<T>(shape, InOut::Separate(x, y), with, epilogue)
                .unwrap();
        } else {
            let [mean, mean_low, variance, inv_std] = &mut statistics;
            let out = StatisticsMut {
                mean: B::as_slice_mut(mean),
                mean_low: B::as_slice_mut(mean_low),
                variance: B::as_slice_mut(variance),
                inv_std: B::as_slice_mut(inv_std),
                running: None,
            };
            let affine = Affine {
                gamma: B::as_slice(&gamma),
                beta: B::as_slice(&beta),
                epsilon: problem.epsilon,
            };
            match how {
                How::Fused => backend
                    .forward_training::<T>(shape, x, affine, epilogue, y, out)
                    .unwrap(),
                How::Composed => {
                    composed::forward_training::<B, T>(backend, shape, x, affine, epilogue, y, out)
                        .unwrap();
                }
            }
        }
    }
    let y = backend.download::<T>(B::as_slice(&y)).unwrap();
    Answer {
        statistics,
        mask,
        pre_activation,
        y,
    }
}

/// What the running mean and variance of a channel are before [`follow`].
pub fn followed_from(channel: usize) -> f32 {
    0.5 + (channel % 100) as f32
}

/// Running mean and variance after a training pass, followed in it and after it.
pub fn follow<B: Backend>(
    backend: &B,
    problem: &Problem,
    how: How,
    only_finite: bool,
) -> ([Vec<f32>; 2], [Vec<f32>; 2]) {
    let (factor, correction) = (0.25, 1.5);
    let channels = problem.shape.channels();
    let before: Vec<f32> = (0..channels).map(followed_from).collect();
    let running = || [0; 2].map(|_| backend.upload(&before).unwrap());
    let answered = |running: [B::Buffer<f32>; 2]| {
        running.map(|running| backend.download::<f32>(B::as_slice(&running)).unwrap())
    };

    let mut afterwards = running();
    let [mean, mean_low, variance, inv_std] = &forward::<f32, B>(backend, problem, how).statistics;
    let batch = Statistics {
        mean: B::as_slice(mean),
        mean_low: B::as_slice(mean_low),
        variance: B::as_slice(variance),
        inv_std: B::as_slice(inv_std),
    };
    let [running_mean, running_variance] = &mut afterwards;
    let (running_mean, running_variance) = (
        B::as_slice_mut(running_mean),
        B::as_slice_mut(running_variance),
    );
    backend
        .update_running::<f32>(
            batch,
            RunningMut {
                mean: running_mean,
                variance: running_variance,
                factor,
                correction,
                only_finite,
            },
        )
        .unwrap();

    let mut at_once = running();
    let x = backend.upload(&typed::<f32>(&problem.x)).unwrap();
    let gamma = backend.upload(&typed::<f32>(&problem.gamma)).unwrap();
    let mut y = backend.zeros::<f32>(problem.shape.len()).unwrap();
    let mut statistics = [0; 4].map(|_| backend.zeros::<f32>(channels).unwrap());
    let [mean, mean_low, variance, inv_std] = &mut statistics;
    let [running_mean, running_variance] = &mut at_once;
    let out = StatisticsMut {
        mean: B::as_slice_mut(mean),
        mean_low: B::as_slice_mut(mean_low),
        variance: B::as_slice_mut(variance),
        inv_std: B::as_slice_mut(inv_std),
        running: Some(RunningMut {
            mean: B::as_slice_mut(running_mean),
            variance: B::as_slice_mut(running_variance),
            factor,
            correction,
            only_finite,
        }),
    };
    let affine = Affine {
        gamma: B::as_slice(&gamma),
        beta: B::as_slice(&gamma),
        epsilon: problem.epsilon,
    };
    let (shape, x, y) = (&problem.shape, B::as_slice(&x), B::as_slice_mut(&mut y));
    match how {
        How::Fused => backend.forward_training::<f32>(
            shape,
            x,
            affine,
            Epilogue::of(Activation::None),
            y,
            out,
        ),
        How::Composed => composed::forward_training::<B, f32>(
            backend,
            shape,
            x,
            affine,
            Epilogue::of(Activation::None),
            y,
            out,
        ),
    }
    .unwrap();
    (answered(at_once), answered(afterwards))
}

fn normalization<'a, T: Element, B: Backend>(
    statistics: &'a [B::Buffer<T::Compute>; 4],
    gamma: &'a B::Buffer<T::Compute>,
    beta: &'a B::Buffer<T::Compute>,
) -> Normalization<B::Slice<'a, T::Compute>> {
    Normalization {
        mean: B::as_slice(&statistics[0]),
        mean_low: B::as_slice(&statistics[1]),
        inv_std: B::as_slice(&statistics[3]),
        gamma: B::as_slice(gamma),
        beta: B::as_slice(beta),
    }
}

/// The backward pass after a forward pass, in place (dx over dy) or not.
pub fn backward<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    forward: &Answer<T, B>,
    how: How,
    in_place: bool,
) -> BackwardAnswer<T> {
    let shape = &problem.shape;
    let x = backend.upload(&typed::<T>(&problem.x)).unwrap();
    let mut dy = backend.upload(&typed::<T>(&problem.dy)).unwrap();
    let gamma = backend
        .upload(&typed::<T::Compute>(&problem.gamma))
        .unwrap();
    let beta = backend.upload(&typed::<T::Compute>(&problem.beta)).unwrap();
    let unwritten = vec![T::Compute::from_f64(-77.0); shape.channels()];
    let (mut dgamma, mut dbeta) = (
        backend.upload(&unwritten).unwrap(),
        backend.upload(&unwritten).unwrap(),
    );
    let mut separate = backend
        .upload(&vec![T::from_f64(-77.0); shape.len()])
        .unwrap();
    let mut dresidual = problem.residual.as_ref().map(|_| {
        backend
            .upload(&vec![T::from_f64(-77.0); shape.len()])
            .unwrap()
    });
    let activation = problem.activation;
    let backward = ActivationBackward {
        activation,
        saved: match activation.saves(problem.residual.is_some()) {
            SavedActivation::Mask(()) => SavedActivation::Mask(&forward.mask),
            SavedActivation::PreActivation(()) => {
                SavedActivation::PreActivation(B::as_slice(&forward.pre_activation))
            }
            _ => SavedActivation::Nothing,
        },
    };
    let source = if problem.running.is_some() {
        StatisticsSource::Running
    } else {
        StatisticsSource::Batch
    };
    {
        let dy_to_dx = if in_place {
            InOut::InPlace(B::as_slice_mut(&mut dy))
        } else {
            InOut::Separate(B::as_slice(&dy), B::as_slice_mut(&mut separate))
        };
        let with = normalization::<T, B>(&forward.statistics, &gamma, &beta);
        let out = GradientSumsMut {
            gamma: B::as_slice_mut(&mut dgamma),
            beta: B::as_slice_mut(&mut dbeta),
        };
        let dresidual = dresidual
            .as_mut()
            .map(|dresidual| B::as_slice_mut(dresidual));
        let x = B::as_slice(&x);
        match how {
            How::Fused => backend
                .backward::<T>(shape, dy_to_dx, x, with, source, backward, dresidual, out)
                .unwrap(),
            How::Composed => {
                composed::backward::<B, T>(
                    backend, shape, dy_to_dx, x, with, source, backward, dresidual, out,
                )
                .unwrap();
            }
        }
    }
    BackwardAnswer {
        dx: backend
            .download::<T>(B::as_slice(if in_place { &dy } else { &separate }))
            .unwrap(),
        dresidual: dresidual
            .map(|dresidual| backend.download::<T>(B::as_slice(&dresidual)).unwrap()),
        dgamma: backend
            .download::<T::Compute>(B::as_slice(&dgamma))
            .unwrap(),
        dbeta: backend.download::<T::Compute>(B::as_slice(&dbeta)).unwrap(),
    }
}

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
    let [mean, _, variance, inv_std] = [0, 1, 2, 3].map(|i| {
        let statistics = B::as_slice(&answer.statistics[i]);
        wide(&backend.download::<T::Compute>(statistics).unwrap())
    });
    let found = ForwardAnswer {
        statistics: [mean, variance, inv_std],
        y: &answer.y,
    };
    let expected = hold_forward(problem, &found, additions);
    (answer, expected)
}

/// What of a forward pass is held against the textbook.
pub struct ForwardAnswer<'a, T: Element> {
    /// Mean, variance and inv_std of each channel.
    pub statistics: [Vec<f64>; 3],
    pub y: &'a [T],
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
