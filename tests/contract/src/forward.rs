//! Forward passes against the textbook.

use batchnorm::backend::{Backend, Statistics};
use batchnorm::{Activation, Element, Layout};
use half::{bf16, f16};

use crate::comparison::{check_forward, close};
use crate::data::{Random, add_residual, add_running, ordinary, round, with_x};
use crate::reference::Problem;
use crate::run::{How, Running, forward_training};
use crate::shapes::{self, three_dimensional};

/// A problem with each epilogue.
pub fn with_each_epilogue<T: Element>(mut problem: Problem, check: impl Fn(&Problem)) {
    check(&problem);
    problem.activation = Activation::Relu;
    check(&problem);
    add_residual::<T>(&mut problem, 5);
    check(&problem);
    problem.activation = Activation::None;
    check(&problem);
}

pub fn forward_with_running_statistics_matches_the_textbook<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B) {
        for (seed, shape) in shapes::small()
            .into_iter()
            .step_by(3)
            .chain(shapes::ranks())
            .enumerate()
        {
            let mut problem = ordinary::<T>(shape, seed as u64);
            add_running::<T>(&mut problem, 9);
            with_each_epilogue::<T>(problem, |problem| {
                check_forward::<T, B>(backend, problem, How::Fused);
            });
        }
    }
    check::<f32, B>(backend);
    check::<f16, B>(backend);
    check::<bf16, B>(backend);
    check::<f64, B>(backend);
}

pub fn forward_of_large_arrays_matches_the_textbook<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::large().into_iter().enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        check_forward::<f32, B>(backend, &problem, How::Fused);
        problem.activation = Activation::Relu;
        add_residual::<f32>(&mut problem, 3);
        check_forward::<f32, B>(backend, &problem, How::Fused);
        check_forward::<bf16, B>(backend, &ordinary::<bf16>(shape, seed as u64), How::Fused);
    }
}

/// Outputs of 4 MB and more are written past the caches, from the first aligned place on.
pub fn forward_of_streamed_arrays_matches_the_textbook<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B) {
        for shape in shapes::streamed(size_of::<T>()) {
            check_forward::<T, B>(backend, &ordinary::<T>(shape, 1), How::Fused);
        }
    }
    check::<f32, B>(backend);
    check::<f16, B>(backend);
    check::<bf16, B>(backend);
    check::<f64, B>(backend);
}

pub fn forward_composed_of_steps_matches_the_textbook<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks()
        .into_iter()
        .chain(shapes::large().into_iter().step_by(2))
        .enumerate()
    {
        with_each_epilogue::<f32>(ordinary::<f32>(shape, seed as u64), |problem| {
            check_forward::<f32, B>(backend, problem, How::Composed);
        });
    }
}

/// What the running mean and variance of a channel are before [`follow`].
fn followed_from(channel: usize) -> f32 {
    0.5 + (channel % 100) as f32
}

/// Running mean and variance after a training pass, followed in it and after it.
fn follow<B: Backend>(
    backend: &B,
    problem: &Problem,
    how: How,
    only_finite: bool,
) -> ([Vec<f32>; 2], [Vec<f32>; 2]) {
    let channels = 0..problem.shape.channels();
    let before: Vec<f64> = channels.map(|c| f64::from(followed_from(c))).collect();
    let [mut at_once, mut afterwards] =
        [0; 2].map(|_| Running::<f32, B>::new(backend, &before, &before, only_finite));
    forward_training::<f32, B>(backend, problem, Some(&mut at_once), how);
    let answer = forward_training::<f32, B>(backend, problem, None, how);
    let [mean, mean_low, variance, inv_std] = &answer.statistics;
    let batch = Statistics {
        mean: B::as_slice(mean),
        mean_low: B::as_slice(mean_low),
        variance: B::as_slice(variance),
        inv_std: B::as_slice(inv_std),
    };
    let running = afterwards.view_mut();
    backend.update_running::<f32>(batch, running).unwrap();
    (at_once.download(backend), afterwards.download(backend))
}

/// Running statistics that follow in the pass are those that follow afterwards, to the bit.
pub fn running_statistics_follow_at_once<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks()
        .into_iter()
        .chain(shapes::large().into_iter().step_by(5))
        .enumerate()
    {
        let problem = ordinary::<f32>(shape, seed as u64);
        for how in [How::Fused, How::Composed] {
            let (at_once, afterwards) = follow(backend, &problem, how, false);
            assert_eq!(at_once, afterwards, "{shape}");
        }
    }
}

/// On request a channel that is not finite is not followed, and every other is.
pub fn running_statistics_are_kept_finite<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        let poisoned = shape.channels() / 2;
        problem.x[shape.index(shape.batch() - 1, poisoned, 0)] = f64::NAN;
        for how in [How::Fused, How::Composed] {
            let (kept, kept_afterwards) = follow(backend, &problem, how, true);
            assert_eq!(kept, kept_afterwards, "{shape}");
            let (plain, _) = follow(backend, &problem, how, false);
            for (kept, plain) in kept.iter().zip(&plain) {
                for (c, (kept, plain)) in kept.iter().zip(plain).enumerate() {
                    if c == poisoned {
                        assert!(plain.is_nan() && *kept == followed_from(c), "{shape}");
                    } else {
                        assert_eq!(kept, plain, "{shape}");
                    }
                }
            }
        }
    }
}

/// A variance that no number of the type is, of which the running variance's part is one.
pub fn a_variance_beyond_the_type_is_followed<B: Backend>(backend: &B) {
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        for (batch, channels, spatial) in [(7, 5, 300), (64, 5, 21), (3, 40, 1), (2, 1, 1)] {
            let shape = three_dimensional(batch, channels, spatial, layout);
            let mut random = Random::new(7);
            let x = (0..shape.len())
                .map(|i| {
                    round::<f32>(
                        2.7e19 * if i % 2 == 0 { 1.0 } else { -1.0 } + 1e16 * random.normal(),
                    )
                })
                .collect();
            let problem = with_x::<f32>(shape, x, 8);
            let variance = problem.forward().variance;
            for how in [How::Fused, How::Composed] {
                for only_finite in [false, true] {
                    let (at_once, afterwards) = follow(backend, &problem, how, only_finite);
                    assert_eq!(at_once, afterwards, "{shape}");
                    for (c, variance) in variance.iter().enumerate() {
                        let truth = 0.75 * f64::from(followed_from(c)) + 0.25 * 1.5 * variance;
                        let bound = truth * 4.0 * f64::from(f32::EPSILON);
                        close(
                            "running variance",
                            &problem,
                            c,
                            f64::from(at_once[1][c]),
                            truth,
                            bound,
                        );
                    }
                }
            }
        }
    }
}
