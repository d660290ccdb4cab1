//! Ranks that have a batch together, against the textbook of the whole batch.

use batchnorm::backend::Backend;
use batchnorm::{Activation, Element, Shape};
use half::{bf16, f16};

use crate::comparison::{ForwardAnswer, hold_backward, hold_forward};
use crate::data::{add_residual, add_running, ordinary, wide};
use crate::forward::with_each_epilogue;
use crate::ranks::{RankAnswer, Summation, bits, of_the_layer, on_ranks};
use crate::reference::Problem;
use crate::run::BackwardAnswer;
use crate::shapes;
use crate::tolerance::Additions;

/// All that the ranks answered, held against the textbook of the whole batch.
pub fn check_ranks<T: Element, B: Backend>(backend: &B, problem: &Problem, samples: &[usize]) {
    let summed = on_ranks::<T, B>(backend, problem, samples, Summation::OverRanks);
    let local = on_ranks::<T, B>(backend, problem, samples, Summation::Local);
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
        let first = on_ranks::<f32, B>(backend, &problem, &samples, Summation::OverRanks);
        let swapped = |values: &[f64]| {
            let (front, back) = values.split_at(shape.len() / shape.batch());
            [back, front].concat()
        };
        problem.x = swapped(&problem.x);
        problem.dy = swapped(&problem.dy);
        problem.residual = problem.residual.map(|residual| swapped(&residual));
        let samples = [shape.batch() - 1, 1];
        let second = on_ranks::<f32, B>(backend, &problem, &samples, Summation::OverRanks);
        assert_eq!(first[0], second[1], "{shape}");
        assert_eq!(first[1], second[0], "{shape}");
    }
}

/// Alone it is the layer.
pub fn one_rank_has_the_bits_of_the_layer<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        let problem = ordinary::<f32>(shape, seed as u64);
        let [alone] =
            &on_ranks::<f32, B>(backend, &problem, &[shape.batch()], Summation::Local)[..]
        else {
            panic!("one rank answers");
        };
        let answer = of_the_layer::<f32, B>(backend, &problem);
        assert_eq!(*alone, answer, "{shape}");
    }
}
