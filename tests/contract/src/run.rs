//! A problem given to a backend.

use batchnorm::backend::{
    ActivationBackward, Affine, Backend, Epilogue, GradientSumsMut, InOut, Normalization,
    RunningMut, SavedActivation, StatisticsMut, StatisticsSource, composed,
};
use batchnorm::{Compute, Element, Kept, Result};

use crate::data::typed;
use crate::reference::Problem;

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

pub(crate) fn uploaded<T: Element, B: Backend>(backend: &B, values: &[f64]) -> B::Buffer<T> {
    backend.upload(&typed::<T>(values)).unwrap()
}

/// Memory of which every place holds a value that no answer has, so that one which is not written shows.
pub(crate) fn unwritten<T: Element, B: Backend>(backend: &B, len: usize) -> B::Buffer<T> {
    backend.upload(&vec![T::from_f64(-77.0); len]).unwrap()
}

/// Running statistics that follow a batch, on the device.
pub struct Running<C: Compute, B: Backend> {
    mean: B::Buffer<C>,
    variance: B::Buffer<C>,
    only_finite: bool,
}

impl<C: Compute, B: Backend> Running<C, B> {
    pub fn new(backend: &B, mean: &[f64], variance: &[f64], only_finite: bool) -> Self {
        Self {
            mean: uploaded::<C, B>(backend, mean),
            variance: uploaded::<C, B>(backend, variance),
            only_finite,
        }
    }

    pub fn view_mut(&mut self) -> RunningMut<B::SliceMut<'_, C>> {
        RunningMut {
            mean: B::as_slice_mut(&mut self.mean),
            variance: B::as_slice_mut(&mut self.variance),
            factor: 0.25,
            correction: 1.5,
            only_finite: self.only_finite,
        }
    }

    /// Mean and variance.
    pub fn download(&self, backend: &B) -> [Vec<C>; 2] {
        [&self.mean, &self.variance].map(|array| backend.download::<C>(B::as_slice(array)).unwrap())
    }
}

/// What a forward pass is given.
pub struct ForwardOperands<'a, T: Element, B: Backend> {
    pub x: B::Slice<'a, T>,
    pub affine: Affine<B::Slice<'a, T::Compute>>,
    pub epilogue: Epilogue<B::Slice<'a, T>, &'a mut B::Mask, B::SliceMut<'a, T>>,
    pub y: B::SliceMut<'a, T>,
    pub out: StatisticsMut<B::SliceMut<'a, T::Compute>>,
}

/// A forward pass, whatever step does it.
pub fn forward_by<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    running: Option<&mut Running<T::Compute, B>>,
    step: impl FnOnce(ForwardOperands<'_, T, B>) -> Result<()>,
) -> Answer<T, B> {
    let shape = &problem.shape;
    let x = uploaded::<T, B>(backend, &problem.x);
    let residual = problem.residual.as_ref();
    let residual = residual.map(|residual| uploaded::<T, B>(backend, residual));
    let gamma = uploaded::<T::Compute, B>(backend, &problem.gamma);
    let beta = uploaded::<T::Compute, B>(backend, &problem.beta);
    let mut statistics = [0; 4].map(|_| unwritten::<T::Compute, B>(backend, shape.channels()));
    let [mut y, mut pre_activation] = [0; 2].map(|_| unwritten::<T, B>(backend, shape.len()));
    let mut mask = backend.mask::<T>(shape).unwrap();
    let [mean, mean_low, variance, inv_std] = &mut statistics;
    step(ForwardOperands {
        x: B::as_slice(&x),
        affine: Affine {
            gamma: B::as_slice(&gamma),
            beta: B::as_slice(&beta),
            epsilon: problem.epsilon,
        },
        epilogue: Epilogue {
            activation: problem.activation,
            residual: residual.as_ref().map(|residual| B::as_slice(residual)),
            saved: match problem.activation.saves(residual.is_some()) {
                SavedActivation::Mask(()) => SavedActivation::Mask(&mut mask),
                SavedActivation::PreActivation(()) => {
                    SavedActivation::PreActivation(B::as_slice_mut(&mut pre_activation))
                }
                _ => SavedActivation::Nothing,
            },
        },
        y: B::as_slice_mut(&mut y),
        out: StatisticsMut {
            mean: B::as_slice_mut(mean),
            mean_low: B::as_slice_mut(mean_low),
            variance: B::as_slice_mut(variance),
            inv_std: B::as_slice_mut(inv_std),
            running: running.map(Running::view_mut),
        },
    })
    .unwrap();
    let y = backend.download::<T>(B::as_slice(&y)).unwrap();
    Answer {
        statistics,
        mask,
        pre_activation,
        y,
    }
}

/// The forward pass: training, or with the running statistics that the problem has.
pub fn forward<T: Element, B: Backend>(backend: &B, problem: &Problem, how: How) -> Answer<T, B> {
    forward_of(backend, problem, None, how)
}

/// The forward pass over what is kept of x.
pub fn forward_of<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    kept: Option<&Kept>,
    how: How,
) -> Answer<T, B> {
    match &problem.running {
        Some((mean, variance)) => normalized_with(backend, problem, kept, mean, variance),
        None => forward_training_of(backend, problem, kept, None, how),
    }
}

/// The training pass, which running statistics may follow.
pub fn forward_training<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    running: Option<&mut Running<T::Compute, B>>,
    how: How,
) -> Answer<T, B> {
    forward_training_of(backend, problem, None, running, how)
}

/// The same over what is kept of x.
pub fn forward_training_of<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    kept: Option<&Kept>,
    running: Option<&mut Running<T::Compute, B>>,
    how: How,
) -> Answer<T, B> {
    let shape = (&problem.shape, kept);
    forward_by::<T, B>(backend, problem, running, |given| {
        let (x, affine, epilogue) = (given.x, given.affine, given.epilogue);
        let (y, out) = (given.y, given.out);
        match how {
            How::Fused => backend.forward_training::<T>(shape, x, affine, epilogue, y, out),
            How::Composed => {
                composed::forward_training::<B, T>(backend, shape, x, affine, epilogue, y, out)
            }
        }
    })
}

fn normalized_with<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    kept: Option<&Kept>,
    mean: &[f64],
    variance: &[f64],
) -> Answer<T, B> {
    let zeros = vec![0.0; mean.len()];
    forward_by::<T, B>(backend, problem, None, |given| {
        let ForwardOperands {
            x,
            affine,
            epilogue,
            y,
            mut out,
        } = given;
        for (from, to) in [
            (mean, &mut out.mean),
            (&zeros, &mut out.mean_low),
            (variance, &mut out.variance),
        ] {
            let from = uploaded::<T::Compute, B>(backend, from);
            backend.copy::<T::Compute>(B::as_slice(&from), B::reborrow_mut::<T::Compute>(to))?;
        }
        backend.inverse_std::<T::Compute>(
            B::reborrow::<T::Compute>(&out.variance),
            affine.epsilon,
            B::reborrow_mut::<T::Compute>(&mut out.inv_std),
        )?;
        let with = Normalization {
            mean: B::reborrow::<T::Compute>(&out.mean),
            mean_low: B::reborrow::<T::Compute>(&out.mean_low),
            inv_std: B::reborrow::<T::Compute>(&out.inv_std),
            gamma: B::shorten::<T::Compute>(affine.gamma),
            beta: B::shorten::<T::Compute>(affine.beta),
        };
        backend.normalize::<T>(
            (&problem.shape, kept),
            InOut::Separate(x, y),
            with,
            epilogue,
        )
    })
}

/// The backward pass after a forward pass, in place (dx over dy) or not.
pub fn backward<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    forward: &Answer<T, B>,
    how: How,
    in_place: bool,
) -> BackwardAnswer<T> {
    backward_of(backend, problem, None, forward, how, in_place)
}

/// The same over what is kept of x.
pub fn backward_of<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    kept: Option<&Kept>,
    forward: &Answer<T, B>,
    how: How,
    in_place: bool,
) -> BackwardAnswer<T> {
    let shape = &problem.shape;
    let batch = (shape, kept);
    let x = uploaded::<T, B>(backend, &problem.x);
    let mut dy = uploaded::<T, B>(backend, &problem.dy);
    let gamma = uploaded::<T::Compute, B>(backend, &problem.gamma);
    let beta = uploaded::<T::Compute, B>(backend, &problem.beta);
    let [mut dgamma, mut dbeta] =
        [0; 2].map(|_| unwritten::<T::Compute, B>(backend, shape.channels()));
    let mut separate = unwritten::<T, B>(backend, shape.len());
    let residual = problem.residual.as_ref();
    let mut dresidual = residual.map(|_| unwritten::<T, B>(backend, shape.len()));
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
        let [mean, mean_low, _, inv_std] = &forward.statistics;
        let with = Normalization {
            mean: B::as_slice(mean),
            mean_low: B::as_slice(mean_low),
            inv_std: B::as_slice(inv_std),
            gamma: B::as_slice(&gamma),
            beta: B::as_slice(&beta),
        };
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
                .backward::<T>(batch, dy_to_dx, x, with, source, backward, dresidual, out)
                .unwrap(),
            How::Composed => {
                composed::backward::<B, T>(
                    backend, batch, dy_to_dx, x, with, source, backward, dresidual, out,
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
