//! Batch renormalization against the textbook: R and D by their formulas, and everything else as that of a problem whose γ and β are
//! γ·R and β + γ·D.

use batchnorm::backend::{Backend, Normalization, RenormalizedMut, RunningReference};
use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Element, Error, Shape, Tensor};
use half::{bf16, f16};

use crate::comparison::{ForwardAnswer, close, hold_backward, hold_forward};
use crate::data::{add_running, ordinary, typed};
use crate::forward::with_each_epilogue;
use crate::renormalized_run::{RenormalizedProblem, forward, plain};
use crate::run::{BackwardAnswer, How, backward};
use crate::shapes;
use crate::tolerance::{Additions, Tolerance, compute_roundoff};

/// r_max and d_max: some channels are clipped by the first of these, few by the last.
const LIMITS: [[f64; 2]; 3] = [[1.2, 0.3], [1.0, 1.5], [4.0, 6.0]];

fn check<T: Element, B: Backend>(backend: &B, given: &RenormalizedProblem, how: How) {
    let found = forward::<T, B>(backend, given, how);
    let problem = plain(given, &found.factors);
    let additions = Additions::of::<T, B>(backend, &problem.shape);
    let held = ForwardAnswer::of(backend, &found.answer);
    let expected = hold_forward(&problem, &held, additions);
    let tolerance = Tolerance {
        problem: &problem,
        forward: &expected,
        additions,
    };
    let u = compute_roundoff::<T>();
    for c in 0..problem.shape.channels() {
        let running_deviation = (given.variance[c] + problem.epsilon).sqrt();
        let r = 1.0 / (expected.inv_std[c] * running_deviation);
        let r = r.clamp(1.0 / given.r_max, given.r_max);
        let d = (expected.mean[c] - given.mean[c]) / running_deviation;
        let d = d.clamp(-given.d_max, given.d_max);
        let (gamma, beta) = (given.problem.gamma[c], given.problem.beta[c]);
        // To first order, and a little for the rest. What clips changes no more than what it clips. A mean is stored as a pair.
        let off_r = 1.01 * r * tolerance.inv_std::<T>(c) / expected.inv_std[c];
        let off_d = 1.01 * tolerance.mean::<T>(c) / running_deviation;
        let wanted = [gamma * r, beta + gamma * d, r, d];
        let off = [gamma.abs() * off_r, gamma.abs() * off_d, off_r, off_d];
        let names = ["gamma", "beta", "r", "d"];
        for i in 0..4 {
            let bound = off[i] + 2.0 * u * wanted[i].abs();
            close(names[i], &problem, c, found.factors[i][c], wanted[i], bound);
        }
    }
    let gradients = backward::<T, B>(backend, &problem, &found.answer, how, false);
    hold_backward(&problem, &found.answer.y, &expected, &gradients, additions);
}

fn check_small<T: Element, B: Backend>(backend: &B) {
    for (seed, shape) in shapes::small()
        .into_iter()
        .step_by(5)
        .chain(shapes::ranks())
        .enumerate()
    {
        let mut problem = ordinary::<T>(shape, seed as u64);
        add_running::<T>(&mut problem, 9);
        with_each_epilogue::<T>(problem, |problem| {
            let given = RenormalizedProblem::of(problem.clone(), LIMITS[seed % LIMITS.len()]);
            check::<T, B>(backend, &given, How::Fused);
        });
    }
}

pub fn renormalized_batches_match_the_textbook_in_f32<B: Backend>(backend: &B) {
    check_small::<f32, B>(backend);
}

pub fn renormalized_batches_match_the_textbook_in_f16<B: Backend>(backend: &B) {
    check_small::<f16, B>(backend);
}

pub fn renormalized_batches_match_the_textbook_in_bf16<B: Backend>(backend: &B) {
    check_small::<bf16, B>(backend);
}

pub fn renormalized_batches_match_the_textbook_in_f64<B: Backend>(backend: &B) {
    check_small::<f64, B>(backend);
}

fn large(shape: Shape, seed: usize) -> RenormalizedProblem {
    let mut problem = ordinary::<f32>(shape, seed as u64);
    add_running::<f32>(&mut problem, 9);
    RenormalizedProblem::of(problem, LIMITS[seed % LIMITS.len()])
}

pub fn renormalized_large_arrays_match_the_textbook<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::large().into_iter().enumerate() {
        for how in [How::Fused, How::Composed] {
            check::<f32, B>(backend, &large(shape, seed), how);
        }
    }
}

/// With limits that leave R = 1 and D = 0, a fused pass has the bits of the pass that is not renormalized, and running statistics
/// follow the batch alike, on a backend whose fused pass it is.
pub fn limits_of_nothing_change_no_bit(cpu: &Cpu) {
    for (seed, shape) in shapes::large().into_iter().enumerate() {
        let mut given = large(shape, seed);
        let running = forward::<f32, Cpu>(cpu, &given, How::Fused).running;
        [given.r_max, given.d_max] = [1.0, 0.0];
        let found = forward::<f32, Cpu>(cpu, &given, How::Fused);
        assert_eq!(found.running, running, "{shape}");
        let plain = crate::run::forward::<f32, Cpu>(cpu, &given.problem, How::Fused);
        assert_eq!(found.answer.y, plain.y, "{shape}");
        assert_eq!(found.factors[2], vec![1.0; shape.channels()]);
        assert_eq!(found.factors[3], vec![0.0; shape.channels()]);
    }
}

/// Everything that comes of a renormalized batch.
fn everything(
    cpu: &Cpu,
    given: &RenormalizedProblem,
) -> (Vec<f32>, [Vec<f64>; 4], BackwardAnswer<f32>) {
    let found = forward::<f32, Cpu>(cpu, given, How::Fused);
    let problem = plain(given, &found.factors);
    let gradients = backward::<f32, Cpu>(cpu, &problem, &found.answer, How::Fused, false);
    (found.answer.y, found.factors, gradients)
}

pub fn threads_change_no_bit_of_a_renormalized_batch(cpu: &Cpu) {
    let with_threads = |threads| {
        let cpu_of = Cpu::with_threads(threads).unwrap();
        cpu_of.at_level(cpu.level()).unwrap()
    };
    for (seed, shape) in shapes::large().into_iter().enumerate() {
        let given = large(shape, seed);
        let one = everything(&with_threads(1), &given);
        for threads in [2, 7] {
            let found = everything(&with_threads(threads), &given);
            assert_eq!(found, one, "{shape}, {threads} threads");
        }
    }
}

/// A layer's y and dx have the bits of the steps', and its dγ is made of their sums.
pub fn a_layer_renormalizes_as_the_steps_do<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B) {
        for (seed, shape) in shapes::ranks().into_iter().enumerate() {
            let mut problem = ordinary::<T>(shape, seed as u64);
            problem.activation = Activation::Relu;
            add_running::<T>(&mut problem, 9);
            let given = RenormalizedProblem::of(problem, LIMITS[seed % LIMITS.len()]);
            let steps = forward::<T, B>(backend, &given, How::Fused);
            let problem = plain(&given, &steps.factors);
            let expected = backward::<T, B>(backend, &problem, &steps.answer, How::Fused, false);

            let limits = batchnorm::Renormalization::new(given.r_max, given.d_max);
            let config = BatchNormConfig::new(shape.channels())
                .epsilon(problem.epsilon)
                .activation(problem.activation)
                .renormalization(limits);
            let mut layer = BatchNorm::<B, T::Compute>::with_compute(backend, config).unwrap();
            let (gamma, beta) = (typed(&given.problem.gamma), typed(&given.problem.beta));
            layer.gamma_mut().unwrap().set(&gamma).unwrap();
            layer.beta_mut().unwrap().set(&beta).unwrap();
            let (mean, variance) = (typed(&given.mean), typed(&given.variance));
            layer
                .running_mut()
                .unwrap()
                .set(&mean, &variance, 1)
                .unwrap();
            let tensor = |values: &[f64]| Tensor::new(backend, shape, &typed::<T>(values)).unwrap();
            let (y, pass) = layer.forward_training(tensor(&problem.x)).unwrap();
            let found = pass.backward(&tensor(&problem.dy)).unwrap();
            assert_eq!(y.to_vec().unwrap(), steps.answer.y, "{shape}");
            assert_eq!(found.input.to_vec().unwrap(), expected.dx, "{shape}");
            assert_eq!(found.beta.unwrap().to_vec().unwrap(), expected.dbeta);
            let dgamma = found.gamma.unwrap().to_vec().unwrap();
            for c in 0..shape.channels() {
                let [r, d] = [2, 3].map(|i| steps.factors[i][c]);
                let of_gamma = r * expected.dgamma[c].to_f64();
                let of_beta = d * expected.dbeta[c].to_f64();
                let bound = 3.0 * compute_roundoff::<T>() * (of_gamma.abs() + of_beta.abs());
                let wanted = of_gamma + of_beta;
                close("dgamma", &problem, c, dgamma[c].to_f64(), wanted, bound);
            }
        }
    }
    check::<f32, B>(backend);
    check::<bf16, B>(backend);
    check::<f64, B>(backend);
}

/// The step by itself, on two channels, with limits that are none and a length that is wrong.
pub fn bad_limits_of_renormalization_are_refused<B: Backend>(backend: &B) {
    let ones = backend.upload(&[1.0f32, 1.0]).unwrap();
    let one = backend.upload(&[1.0f32]).unwrap();
    let call = |variance: &B::Buffer<f32>, epsilon: f64, [r_max, d_max]: [f64; 2]| {
        let mut out = [0; 4].map(|_| backend.upload(&[-77.0f32; 2]).unwrap());
        let [gamma, beta, r, d] = &mut out;
        let written = RenormalizedMut {
            gamma: B::as_slice_mut(gamma),
            beta: B::as_slice_mut(beta),
            r: B::as_slice_mut(r),
            d: B::as_slice_mut(d),
        };
        let with = Normalization {
            mean: B::as_slice(&ones),
            mean_low: B::as_slice(&ones),
            inv_std: B::as_slice(&ones),
            gamma: B::as_slice(&ones),
            beta: B::as_slice(&ones),
        };
        let reference = RunningReference {
            mean: B::as_slice(&ones),
            variance: B::as_slice(variance),
            r_max,
            d_max,
        };
        let found = backend.renormalize::<f32>(with, epsilon, reference, written);
        if found.is_err() {
            for array in &out {
                let array = backend.download::<f32>(B::as_slice(array)).unwrap();
                assert_eq!(array, [-77.0; 2]);
            }
        }
        found
    };
    call(&ones, 3.0, [2.0, 1.0]).unwrap();
    for limits in [
        [0.99, 1.0],
        [f64::NAN, 1.0],
        [f64::INFINITY, 1.0],
        [2.0, -0.1],
        [2.0, f64::NAN],
        [2.0, f64::INFINITY],
    ] {
        let found = call(&ones, 3.0, limits);
        assert!(
            matches!(found, Err(Error::Value { .. })),
            "{limits:?}: {found:?}"
        );
    }
    let found = call(&one, 3.0, [2.0, 1.0]);
    assert!(matches!(found, Err(Error::Length { .. })), "{found:?}");
    for epsilon in [0.0, f64::NAN] {
        let found = call(&ones, epsilon, [2.0, 1.0]);
        assert!(matches!(found, Err(Error::Epsilon { .. })), "{found:?}");
    }
}
