//! A problem given to ranks that have its batch together, as threads, each with its part; and to the layer, which has all of it.

use std::thread;
use std::time::Duration;

use batchnorm::backend::Backend;
use batchnorm::{
    BatchNorm, BatchNormConfig, BatchStatistics, ChannelArray, Compute, Element, Gradients,
    RunningStatistics, Shape, SyncBatchNorm, SyncPass, Tensor, ThreadRank,
};

use crate::data::typed;
use crate::reference::Problem;
use crate::run::BackwardAnswer;

/// Long beside any pass here.
const LIMIT: Duration = Duration::from_secs(500);

/// What the ranks' layers sum dγ and dβ over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summation {
    /// Each over its own part.
    Local,
    /// All over the whole batch.
    OverRanks,
}

/// What one rank answered.
#[derive(Debug, Clone, PartialEq)]
pub struct RankAnswer<T: Element> {
    /// Mean, what it rounds away, variance and inv_std.
    pub statistics: [Vec<T::Compute>; 4],
    pub y: Vec<T>,
    pub gradients: BackwardAnswer<T>,
    /// Mean and variance.
    pub running: [Vec<T::Compute>; 2],
}

impl<T: Element> RankAnswer<T> {
    /// On the host.
    fn of<B: Backend>(
        statistics: &BatchStatistics<T::Compute, B>,
        y: &Tensor<T, B>,
        gradients: Gradients<T, B>,
        running: &RunningStatistics<T::Compute, B>,
    ) -> Self {
        Self {
            statistics: [
                statistics.mean(),
                statistics.mean_low(),
                statistics.variance(),
                statistics.inv_std(),
            ]
            .map(values),
            y: y.to_vec().unwrap(),
            gradients: BackwardAnswer {
                dx: gradients.input.to_vec().unwrap(),
                dresidual: gradients.residual.map(|array| array.to_vec().unwrap()),
                dgamma: values(&gradients.gamma.unwrap()),
                dbeta: values(&gradients.beta.unwrap()),
            },
            running: [running.mean(), running.variance()].map(values),
        }
    }
}

/// A rank's layer for a problem.
fn layer_of<T: Element, B: Backend>(backend: &B, problem: &Problem) -> BatchNorm<B, T::Compute> {
    let config = BatchNormConfig::new(problem.shape.channels())
        .epsilon(problem.epsilon)
        .activation(problem.activation);
    let mut layer = BatchNorm::with_compute(backend, config).unwrap();
    let (gamma, beta) = (typed(&problem.gamma), typed(&problem.beta));
    layer.gamma_mut().unwrap().set(&gamma).unwrap();
    layer.beta_mut().unwrap().set(&beta).unwrap();
    if let Some((mean, variance)) = &problem.running {
        let running = layer.running_mut().unwrap();
        running.set(&typed(mean), &typed(variance), 0).unwrap();
    }
    layer
}

/// The samples of a batch that a rank has.
struct Samples<'a> {
    problem: &'a Problem,
    first: usize,
    shape: Shape,
}

impl<'a> Samples<'a> {
    /// Each rank's, by how many samples it has.
    fn split(problem: &'a Problem, samples: &[usize]) -> Vec<Self> {
        let whole = &problem.shape;
        assert_eq!(samples.iter().sum::<usize>(), whole.batch());
        let mut first = 0;
        let mut parts = vec![];
        for &samples in samples {
            let mut dims = whole.dims().to_vec();
            dims[0] = samples;
            let shape = Shape::new(&dims, whole.layout()).unwrap();
            parts.push(Self {
                problem,
                first,
                shape,
            });
            first += shape.len();
        }
        parts
    }

    /// The part of an array of the batch.
    fn of<T: Element, B: Backend>(&self, backend: &B, values: &[f64]) -> Tensor<T, B> {
        let part = typed::<T>(&values[self.first..][..self.shape.len()]);
        Tensor::new(backend, self.shape, &part).unwrap()
    }
}

/// What each rank answers, with so many samples each.
pub fn on_ranks<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    samples: &[usize],
    summation: Summation,
) -> Vec<RankAnswer<T>> {
    let parts = Samples::split(problem, samples);
    let ranks = ThreadRank::connect(samples.len(), LIMIT);
    thread::scope(|scope| {
        let threads: Vec<_> = (ranks.into_iter().zip(&parts))
            .map(|(rank, part)| {
                let backend = backend.clone();
                scope.spawn(move || on_rank(&backend, &rank, part, summation))
            })
            .collect();
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        answers.collect()
    })
}

fn on_rank<T: Element, B: Backend>(
    backend: &B,
    rank: &ThreadRank,
    part: &Samples<'_>,
    summation: Summation,
) -> RankAnswer<T> {
    let problem = part.problem;
    let layer = layer_of::<T, B>(backend, problem);
    let mut layer = match summation {
        Summation::Local => SyncBatchNorm::new(layer, rank).unwrap(),
        Summation::OverRanks => SyncBatchNorm::with_summed_gradients(layer, rank).unwrap(),
    };
    let x = part.of::<T, B>(backend, &problem.x);
    let residual = problem.residual.as_ref();
    let residual = residual.map(|residual| part.of::<T, B>(backend, residual));
    let residual = residual.as_ref().map(|residual| residual as _);
    let unwritten = vec![T::from_f64(-77.0); part.shape.len()];
    let mut y = Tensor::new(backend, part.shape, &unwritten).unwrap();
    let pass = if problem.running.is_some() {
        layer.forward_frozen_into(x, residual, &mut y).unwrap()
    } else {
        layer.forward_training_into(x, residual, &mut y).unwrap()
    };
    let dy = part.of::<T, B>(backend, &problem.dy);
    let gradients = pass.backward(&dy).unwrap();
    in_place_has_the_same_bits(&pass, dy, &gradients.input);
    RankAnswer::of(
        &pass.statistics()[0],
        &y,
        gradients,
        layer.layer().running().unwrap(),
    )
}

fn in_place_has_the_same_bits<T: Element, B: Backend>(
    pass: &SyncPass<Tensor<T, B>, B, &ThreadRank>,
    mut dy: Tensor<T, B>,
    dx: &Tensor<T, B>,
) {
    pass.backward_in_place(&mut dy, None).unwrap();
    assert_eq!(bits(&dy.to_vec().unwrap()), bits(&dx.to_vec().unwrap()));
}

fn values<C: Compute, B: Backend>(array: &ChannelArray<C, B>) -> Vec<C> {
    array.to_vec().unwrap()
}

/// Of which NaN is one value.
pub fn bits<T: Element>(values: &[T]) -> Vec<u64> {
    values
        .iter()
        .map(|value| value.to_f64().to_bits())
        .collect()
}

/// What the layer itself answers.
pub fn of_the_layer<T: Element, B: Backend>(backend: &B, problem: &Problem) -> RankAnswer<T> {
    let mut layer = layer_of::<T, B>(backend, problem);
    let whole = &Samples::split(problem, &[problem.shape.batch()])[0];
    let x = whole.of::<T, B>(backend, &problem.x);
    let residual = problem.residual.as_ref();
    let residual = residual.map(|residual| whole.of::<T, B>(backend, residual));
    let residual = residual.as_ref().map(|residual| residual as _);
    let mut y = Tensor::zeros(backend, problem.shape).unwrap();
    let pass = layer.forward_training_into(x, residual, &mut y).unwrap();
    let gradients = pass
        .backward(&whole.of::<T, B>(backend, &problem.dy))
        .unwrap();
    RankAnswer::of(
        &pass.statistics()[0],
        &y,
        gradients,
        layer.running().unwrap(),
    )
}
