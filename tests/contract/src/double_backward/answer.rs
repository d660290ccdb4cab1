//! A problem's second derivatives, as a backend has them.

use batchnorm::backend::{
    ActivationBackward, Backend, GradientsOfGradients, Normalization, SavedActivation,
    SecondGradientsMut, StatisticsSource,
};
use batchnorm::{Element, Error};

use crate::data::{Random, round};
use crate::double_backward::textbook::Given;
use crate::reference::Problem;
use crate::run::{Answer, unwritten, uploaded};

/// With respect to dy, x and γ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SecondAnswer<T: Element> {
    pub dy: Vec<T>,
    pub x: Vec<T>,
    pub gamma: Vec<T::Compute>,
}

impl<T: Element> SecondAnswer<T> {
    /// Whether nothing has been written.
    pub(crate) fn is_unwritten(&self) -> bool {
        let all = |values: &[T]| values.iter().all(|value| value.to_f64() == -77.0);
        let gamma = self.gamma.iter().all(|value| value.to_f64() == -77.0);
        all(&self.dy) && all(&self.x) && gamma
    }
}

/// All that a pass can be given.
pub(crate) fn ordinary_given<T: Element>(problem: &Problem, seed: u64) -> Given {
    let mut random = Random::new(seed);
    let mut normal = |len: usize, mean: f64, round: fn(f64) -> f64| -> Vec<f64> {
        (0..len).map(|_| round(random.normal() + mean)).collect()
    };
    let (len, channels) = (problem.shape.len(), problem.shape.channels());
    Given {
        input: Some(normal(len, -0.5, round::<T>)),
        residual: (problem.residual.as_ref()).map(|_| normal(len, 0.1, round::<T>)),
        gamma: Some(normal(channels, 0.0, round::<T::Compute>)),
        beta: Some(normal(channels, 0.0, round::<T::Compute>)),
    }
}

/// What the backend says and what it has written, after its own forward pass.
pub(crate) fn double_backward<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    forward: &Answer<T, B>,
    given: &Given,
) -> (Result<(), Error>, SecondAnswer<T>) {
    let shape = &problem.shape;
    let like_x = |values: &Vec<f64>| uploaded::<T, B>(backend, values);
    let per_channel = |values: &Vec<f64>| uploaded::<T::Compute, B>(backend, values);
    let (x, dy) = (like_x(&problem.x), like_x(&problem.dy));
    let (gamma, beta) = (per_channel(&problem.gamma), per_channel(&problem.beta));
    let (input, residual) = (
        given.input.as_ref().map(like_x),
        given.residual.as_ref().map(like_x),
    );
    let (of_gamma, of_beta) = (
        given.gamma.as_ref().map(per_channel),
        given.beta.as_ref().map(per_channel),
    );
    let [mut dy_out, mut x_out] = [0; 2].map(|_| unwritten::<T, B>(backend, shape.len()));
    let mut gamma_out = unwritten::<T::Compute, B>(backend, shape.channels());
    let [mean, mean_low, _, inv_std] = &forward.statistics;
    let found = backend.double_backward::<T>(
        shape,
        B::as_slice(&dy),
        B::as_slice(&x),
        Normalization {
            mean: B::as_slice(mean),
            mean_low: B::as_slice(mean_low),
            inv_std: B::as_slice(inv_std),
            gamma: B::as_slice(&gamma),
            beta: B::as_slice(&beta),
        },
        match problem.running {
            Some(_) => StatisticsSource::Running,
            None => StatisticsSource::Batch,
        },
        ActivationBackward {
            activation: problem.activation,
            saved: match problem.activation.saves(problem.residual.is_some()) {
                SavedActivation::Mask(()) => SavedActivation::Mask(&forward.mask),
                _ => SavedActivation::Nothing,
            },
        },
        GradientsOfGradients {
            input: input.as_ref().map(|array| B::as_slice::<T>(array)),
            residual: residual.as_ref().map(|array| B::as_slice::<T>(array)),
            gamma: (of_gamma.as_ref()).map(|array| B::as_slice::<T::Compute>(array)),
            beta: (of_beta.as_ref()).map(|array| B::as_slice::<T::Compute>(array)),
        },
        SecondGradientsMut {
            dy: B::as_slice_mut(&mut dy_out),
            x: B::as_slice_mut(&mut x_out),
            gamma: B::as_slice_mut(&mut gamma_out),
        },
    );
    let download = |array: &B::Buffer<T>| backend.download::<T>(B::as_slice(array)).unwrap();
    let gamma = backend.download::<T::Compute>(B::as_slice(&gamma_out));
    let answer = SecondAnswer {
        dy: download(&dy_out),
        x: download(&x_out),
        gamma: gamma.unwrap(),
    };
    (found, answer)
}
