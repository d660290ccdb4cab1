//! Ranks that have a batch together, against the textbook of the whole batch: as threads, each with its part.

use std::thread;
use std::time::Duration;

use batchnorm::backend::Backend;
use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, BatchStatistics, ChannelArray, Compute, Element,
    RunningStatistics, Shape, SyncBatchNorm, SyncPass, Tensor, ThreadRank,
};
use half::{bf16, f16};

use crate::comparison::{ForwardAnswer, hold_backward, hold_forward};
use crate::data::{add_residual, add_running, ordinary, typed, wide};
use crate::forward::with_each_epilogue;
use crate::reference::Problem;
use crate::run::BackwardAnswer;
use crate::shapes;
use crate::tolerance::Additions;

/// Long beside any pass here.
const LIMIT: Duration = Duration::from_secs(500);

/// How the ranks' layers sum dγ and dβ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradients {
    Local,
    Summed,
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
        gradients: batchnorm::Gradients<T, B>,
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
pub fn layer_of<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
) -> BatchNorm<B, T::Compute> {
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
pub struct Samples<'a> {
    problem: &'a Problem,
    first: usize,
    pub shape: Shape,
}

impl<'a> Samples<'a> {
    /// Each rank's, by how many samples it has.
    pub fn split(problem: &'a Problem, samples: &[usize]) -> Vec<Self> {
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
    pub fn of<T: Element, B: Backend>(&self, backend: &B, values: &[f64]) -> Tensor<T, B> {
        let part = typed::<T>(&values[self.first..][..self.shape.len()]);
        Tensor::new(backend, self.shape, &part).unwrap()
    }
}

/// What each rank answers, with so many samples each.
pub fn on_ranks<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    samples: &[usize],
    gradients: Gradients,
) -> Vec<RankAnswer<T>> {
    let parts = Samples::split(problem, samples);
    let ranks = ThreadRank::connect(samples.len(), LIMIT);
    thread::scope(|scope| {
        let threads: Vec<_> = (ranks.into_iter().zip(&parts))
            .map(|(rank, part)| {
                let backend = backend.clone();
                scope.spawn(move || on_rank(&backend, &rank, part, gradients))
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
    gradients: Gradients,
) -> RankAnswer<T> {
    let problem = part.problem;
    let layer = layer_of::<T, B>(backend, problem);
    let mut layer = match gradients {
        Gradients::Local => SyncBatchNorm::new(layer, rank).unwrap(),
        Gradients::Summed => SyncBatchNorm::with_summed_gradients(layer, rank).unwrap(),
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

/// All that the ranks answered, held against the textbook of the whole batch.
pub fn check_ranks<T: Element, B: Backend>(backend: &B, problem: &Problem, samples: &[usize]) {
    let summed = on_ranks::<T, B>(backend, problem, samples, Gradients::Summed);
    let local = on_ranks::<T, B>(backend, problem, samples, Gradients::Local);
    let additions = Additions::of::<T, B>(backend, &problem.shape).of_ranks();
    let (mut y, mut dx, mut dresidual) =
        (vec![], vec![], problem.residual.as_ref().map(|_| vec![]));
    for (rank, answer) in summed.iter().enumerate() {
        let first = &summed[0];
        assert_eq!(answer.statistics, first.statistics, "rank {rank}");
        assert_eq!(answer.running, first.running, "rank {rank}");
        assert_eq!(
            answer.gradients.dgamma, first.gradients.dgamma,
            "rank {rank}"
        );
        assert_eq!(answer.gradients.dbeta, first.gradients.dbeta, "rank {rank}");
        assert_eq!(bits(&answer.y), bits(&local[rank].y));
        assert_eq!(bits(&answer.gradients.dx), bits(&local[rank].gradients.dx));
        y.extend_from_slice(&answer.y);
        dx.extend_from_slice(&answer.gradients.dx);
        if let Some(all) = &mut dresidual {
            all.extend_from_slice(answer.gradients.dresidual.as_ref().unwrap());
        }
    }
    let [mean, _, variance, inv_std] = summed[0].statistics.each_ref().map(|values| wide(values));
    let found = ForwardAnswer {
        statistics: [mean, variance, inv_std],
        y: &y,
    };
    let expected = hold_forward(problem, &found, additions);
    let mut found = BackwardAnswer {
        dx,
        dresidual,
        dgamma: summed[0].gradients.dgamma.clone(),
        dbeta: summed[0].gradients.dbeta.clone(),
    };
    hold_backward(problem, &y, &expected, &found, additions);
    // What an optimizer adds up is the same, and rounded once more a rank.
    let total = |of: &dyn Fn(&RankAnswer<T>) -> &Vec<T::Compute>| {
        let channel = |c: usize| {
            let all = local.iter().map(|answer| of(answer)[c].to_f64());
            T::Compute::from_f64(all.sum())
        };
        (0..problem.shape.channels()).map(channel).collect()
    };
    found.dgamma = total(&|answer| &answer.gradients.dgamma);
    found.dbeta = total(&|answer| &answer.gradients.dbeta);
    hold_backward(problem, &y, &expected, &found, additions);
}

/// How many samples each of the ranks has: as alike as they can be, one after the other, and one with all.
fn splits(samples: usize) -> Vec<Vec<usize>> {
    let half = samples / 2;
    vec![
        vec![half, samples - half],
        vec![samples.min(1), 0, samples - samples.min(1)],
        vec![0, samples],
    ]
}

fn check_shapes<T: Element, B: Backend>(backend: &B, shapes: impl Iterator<Item = Shape>) {
    for (seed, shape) in shapes.enumerate() {
        let splits = splits(shape.batch());
        with_each_epilogue::<T>(ordinary::<T>(shape, seed as u64), |problem| {
            check_ranks::<T, B>(backend, problem, &splits[seed % splits.len()]);
        });
    }
}

pub fn ranks_are_one_batch_in_f32<B: Backend>(backend: &B) {
    let small = shapes::small().into_iter().step_by(11);
    check_shapes::<f32, B>(backend, small.chain(shapes::ranks()));
    let mut problem = ordinary::<f32>(shapes::large()[0], 3);
    problem.activation = Activation::Silu;
    check_ranks::<f32, B>(backend, &problem, &[1, 3]);
}

pub fn ranks_are_one_batch_in_f16<B: Backend>(backend: &B) {
    check_shapes::<f16, B>(backend, shapes::ranks().into_iter());
}

pub fn ranks_are_one_batch_in_bf16<B: Backend>(backend: &B) {
    check_shapes::<bf16, B>(backend, shapes::ranks().into_iter());
}

pub fn ranks_are_one_batch_in_f64<B: Backend>(backend: &B) {
    check_shapes::<f64, B>(backend, shapes::ranks().into_iter());
}

pub fn frozen_ranks_are_one_batch<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        add_running::<f32>(&mut problem, 9);
        check_ranks::<f32, B>(backend, &problem, &[1, shape.batch() - 1]);
    }
}

/// The same parts, wherever they are.
pub fn the_order_of_ranks_changes_no_bit<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        add_residual::<f32>(&mut problem, 4);
        let samples = [1, shape.batch() - 1];
        let first = on_ranks::<f32, B>(backend, &problem, &samples, Gradients::Summed);
        let swapped = |values: &[f64]| {
            let (front, back) = values.split_at(shape.len() / shape.batch());
            [back, front].concat()
        };
        problem.x = swapped(&problem.x);
        problem.dy = swapped(&problem.dy);
        problem.residual = problem.residual.map(|residual| swapped(&residual));
        let samples = [shape.batch() - 1, 1];
        let second = on_ranks::<f32, B>(backend, &problem, &samples, Gradients::Summed);
        assert_eq!(first[0], second[1], "{shape}");
        assert_eq!(first[1], second[0], "{shape}");
    }
}

/// Alone it is the layer.
pub fn one_rank_has_the_bits_of_the_layer<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        let problem = ordinary::<f32>(shape, seed as u64);
        let [alone] =
            &on_ranks::<f32, B>(backend, &problem, &[shape.batch()], Gradients::Local)[..]
        else {
            panic!("one rank answers");
        };
        let answer = of_the_layer::<f32, B>(backend, &problem);
        assert_eq!(*alone, answer, "{shape}");
    }
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
