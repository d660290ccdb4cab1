//! Quantized inference against the textbook: each byte is the nearest of a y that could have been computed.

use batchnorm::backend::{Backend, Normalization};
use batchnorm::{Activation, Cpu, Data, Element, Error, Quantization, Result, Shape, Tensor};
use half::{bf16, f16};

use crate::data::{add_residual, add_running, ordinary, typed};
use crate::determinism::lower_levels_that_round_alike;
use crate::forward::with_each_epilogue;
use crate::layers::of_problem;
use crate::reference::Problem;
use crate::shapes;
use crate::tolerance::{Additions, Tolerance, compute_roundoff};

/// What no byte is left as.
const UNWRITTEN: i8 = 77;

fn quantized_at<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    quantization: &Quantization,
    offset: usize,
) -> (Result<()>, Vec<i8>) {
    let tensor = |values: &[f64]| Tensor::new(backend, problem.shape, &typed::<T>(values)).unwrap();
    let residual = problem.residual.as_deref().map(tensor);
    let residual = residual
        .as_ref()
        .map(|residual| residual as &dyn Data<B, Element = T>);
    let layer = of_problem::<T, B>(backend, problem);
    let len = problem.shape.len();
    let mut q = vec![UNWRITTEN; len + 2 * offset];
    let x = tensor(&problem.x);
    let to = &mut q[offset..offset + len];
    let result = layer.forward_quantized_into(&x, residual, quantization, to);
    (result, q)
}

fn quantized<T: Element>(cpu: &Cpu, problem: &Problem, quantization: &Quantization) -> Vec<i8> {
    let (result, q) = quantized_at::<T, Cpu>(cpu, problem, quantization, 0);
    result.unwrap();
    q
}

/// One scale and zero point for all channels, or for each its own.
fn quantizations(channels: usize) -> [Quantization; 3] {
    let scales: Vec<f64> = (0..channels)
        .map(|c| 0.011 + 0.003 * (c % 7) as f64)
        .collect();
    let zero_points = (-50i8..50).step_by(9).take(11).cycle();
    let zero_points: Vec<i8> = zero_points.take(channels).collect();
    [
        Quantization::symmetric(0.03).unwrap(),
        Quantization::affine(0.017, -100).unwrap(),
        Quantization::per_channel(&scales, &zero_points).unwrap(),
    ]
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "it is a whole number in range"
)]
fn nearest(value: f64, zero_point: i8) -> i8 {
    (value.round_ties_even() + f64::from(zero_point)).clamp(-128.0, 127.0) as i8
}

/// That each byte is between the nearest ones of the least and the most that y could be.
fn hold<T: Element>(
    problem: &Problem,
    quantization: &Quantization,
    q: &[i8],
    additions: Additions,
) {
    let expected = problem.forward();
    let tolerance = Tolerance {
        problem,
        forward: &expected,
        additions,
    };
    for c in 0..problem.shape.channels() {
        let at = if quantization.scales().len() == 1 {
            0
        } else {
            c
        };
        let (scale, zero_point) = (quantization.scales()[at], quantization.zero_points()[at]);
        for i in problem.channel(c) {
            // y is not rounded to the type of x.
            let bound = tolerance.y::<T::Compute>(c, i) / scale;
            let y = expected.y[i] / scale;
            let bound = 1.01 * bound + 3.0 * compute_roundoff::<T>() * y.abs();
            let (least, most) = (
                nearest(y - bound, zero_point),
                nearest(y + bound, zero_point),
            );
            assert!(
                (least..=most).contains(&q[i]),
                "q[{i}] of {} is {}, the textbook has {least} to {most} of {y}",
                problem.shape,
                q[i]
            );
        }
    }
}

fn check<T: Element>(cpu: &Cpu, problem: &Problem) {
    let additions = Additions::of::<T, Cpu>(cpu, &problem.shape);
    for quantization in quantizations(problem.shape.channels()) {
        let q = quantized::<T>(cpu, problem, &quantization);
        hold::<T>(problem, &quantization, &q, additions);
    }
}

fn check_small<T: Element>(cpu: &Cpu) {
    let few = shapes::small().into_iter().step_by(5);
    for (seed, shape) in few.chain(shapes::ranks()).enumerate() {
        let mut problem = ordinary::<T>(shape, seed as u64);
        add_running::<T>(&mut problem, 9);
        with_each_epilogue::<T>(problem, |problem| check::<T>(cpu, problem));
    }
}

pub fn quantized_inference_matches_the_textbook_in_f32(cpu: &Cpu) {
    check_small::<f32>(cpu);
}

pub fn quantized_inference_matches_the_textbook_in_f16(cpu: &Cpu) {
    check_small::<f16>(cpu);
}

pub fn quantized_inference_matches_the_textbook_in_bf16(cpu: &Cpu) {
    check_small::<bf16>(cpu);
}

pub fn quantized_inference_matches_the_textbook_in_f64(cpu: &Cpu) {
    check_small::<f64>(cpu);
}

pub fn quantized_inference_of_large_arrays_matches_the_textbook(cpu: &Cpu) {
    fn of_type<T: Element>(cpu: &Cpu, shape: Shape, seed: u64) {
        let mut problem = ordinary::<T>(shape, seed);
        add_running::<T>(&mut problem, 9);
        problem.activation = Activation::Relu;
        let quantization = &quantizations(shape.channels())[2];
        let q = quantized::<T>(cpu, &problem, quantization);
        let additions = Additions::of::<T, Cpu>(cpu, &shape);
        hold::<T>(&problem, quantization, &q, additions);
    }
    for (seed, shape) in shapes::large().into_iter().enumerate() {
        of_type::<f32>(cpu, shape, seed as u64);
        of_type::<bf16>(cpu, shape, seed as u64);
    }
}

/// A problem whose y is x, exactly.
fn identity<T: Element>(x: Vec<f64>) -> Problem {
    let shape = Shape::channels_first(&[x.len(), 1]).unwrap();
    Problem {
        x,
        gamma: vec![1.0],
        beta: vec![0.0],
        epsilon: 0.0,
        running: Some((vec![0.0], vec![1.0])),
        ..ordinary::<T>(shape, 1)
    }
}

/// Every half from −140 to 140, in every type: ties go to even, and the ends hold what is beyond.
pub fn exact_values_are_rounded_to_even(cpu: &Cpu) {
    fn of_type<T: Element>(cpu: &Cpu) {
        let halves: Vec<f64> = (-280..=280).map(|i| f64::from(i) / 2.0).collect();
        let halves = halves
            .into_iter()
            .filter(|&half| T::from_f64(half).to_f64() == half);
        let problem = identity::<T>(halves.collect());
        for zero_point in [0, -128, 127, 3] {
            let quantization = Quantization::affine(1.0, zero_point).unwrap();
            let q = quantized::<T>(cpu, &problem, &quantization);
            for (q, &x) in q.iter().zip(&problem.x) {
                assert_eq!(*q, nearest(x, zero_point), "{x} {zero_point}");
            }
        }
    }
    of_type::<f32>(cpu);
    of_type::<f16>(cpu);
    of_type::<bf16>(cpu);
    of_type::<f64>(cpu);
}

/// NaN is the zero point, which stands for 0; what is infinite is the end on its side. Wherever in a vector it is.
pub fn what_is_not_finite_is_quantized(cpu: &Cpu) {
    fn of_type<T: Element>(cpu: &Cpu) {
        let quantization = Quantization::affine(0.5, -3).unwrap();
        for (value, expected) in [
            (f64::NAN, -3),
            (f64::INFINITY, 127),
            (f64::NEG_INFINITY, -128),
            (6e4, 127),
            (-6e4, -128),
        ] {
            for at in 0..37 {
                let mut x = vec![1.0; 37];
                x[at] = value;
                let q = quantized::<T>(cpu, &identity::<T>(x), &quantization);
                for (i, &q) in q.iter().enumerate() {
                    assert_eq!(q, if i == at { expected } else { -1 }, "{value} at {at}");
                }
            }
        }
    }
    of_type::<f32>(cpu);
    of_type::<f16>(cpu);
    of_type::<bf16>(cpu);
    of_type::<f64>(cpu);
}

pub fn nothing_outside_is_quantized(cpu: &Cpu) {
    for shape in shapes::ranks().into_iter().chain(shapes::large()) {
        let mut problem = ordinary::<f32>(shape, 1);
        add_running::<f32>(&mut problem, 9);
        let quantization = &quantizations(shape.channels())[2];
        let expected = quantized::<f32>(cpu, &problem, quantization);
        for offset in [1, 5, 16, 23] {
            let (result, q) = quantized_at::<f32, Cpu>(cpu, &problem, quantization, offset);
            result.unwrap();
            let (before, rest) = q.split_at(offset);
            let (found, after) = rest.split_at(shape.len());
            let is_unwritten = |q: &[i8]| q.iter().all(|&q| q == UNWRITTEN);
            assert!(is_unwritten(before) && is_unwritten(after), "{shape}");
            assert_eq!(found, expected, "{shape} at {offset}");
        }
    }
}

pub fn threads_change_no_bit_of_quantized_inference(cpu: &Cpu) {
    fn everything<T: Element>(cpu: &Cpu, shape: Shape) -> Vec<i8> {
        let mut problem = ordinary::<T>(shape, 3);
        add_running::<T>(&mut problem, 9);
        add_residual::<T>(&mut problem, 4);
        quantized::<T>(cpu, &problem, &quantizations(shape.channels())[1])
    }
    for shape in shapes::large() {
        let expected = everything::<f32>(cpu, shape);
        for threads in [1, 3] {
            let others = Cpu::with_threads(threads).unwrap();
            let others = others.at_level(cpu.level()).unwrap();
            assert_eq!(everything::<f32>(&others, shape), expected, "{shape}");
        }
        for other in lower_levels_that_round_alike(cpu) {
            assert_eq!(everything::<f32>(&other, shape), expected, "{shape}");
        }
    }
}

/// A backend either quantizes, or says that it does not and writes nothing.
pub fn a_device_quantizes_or_writes_nothing<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        add_running::<f32>(&mut problem, 9);
        let quantization = Quantization::symmetric(0.03).unwrap();
        let (result, q) = quantized_at::<f32, B>(backend, &problem, &quantization, 0);
        match result {
            Ok(()) => {
                let additions = Additions::of::<f32, B>(backend, &shape);
                hold::<f32>(&problem, &quantization, &q, additions);
            }
            Err(Error::Value { what, .. }) => {
                assert_eq!(what, "the device of quantized inference");
                assert!(q.iter().all(|&q| q == UNWRITTEN));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

pub fn wrong_lengths_of_quantized_inference_are_refused<B: Backend>(backend: &B) {
    let shape = Shape::channels_first(&[2, 3]).unwrap();
    let upload = |len: usize| backend.upload(&vec![1.0f32; len]).unwrap();
    let call = |lengths: [usize; 8], quantization: &Quantization| {
        let [x, mean, low, inv_std, gamma, beta, residual, q] = lengths;
        let [x, mean, low, inv_std, gamma, beta, residual] =
            [x, mean, low, inv_std, gamma, beta, residual].map(upload);
        let with = Normalization {
            mean: B::as_slice(&mean),
            mean_low: B::as_slice(&low),
            inv_std: B::as_slice(&inv_std),
            gamma: B::as_slice(&gamma),
            beta: B::as_slice(&beta),
        };
        let mut q = vec![UNWRITTEN; q];
        let result = backend.normalize_quantized::<f32>(
            &shape,
            B::as_slice(&x),
            with,
            Activation::None,
            Some(B::as_slice(&residual)),
            quantization,
            &mut q,
        );
        assert!(result.is_ok() || q.iter().all(|&q| q == UNWRITTEN));
        result
    };
    let (right, one) = (
        [6, 3, 3, 3, 3, 3, 6, 6],
        Quantization::symmetric(1.0).unwrap(),
    );
    let of_each = |channels: usize| {
        Quantization::per_channel(&vec![1.0; channels], &vec![0; channels]).unwrap()
    };
    let is_length = |result: Result<()>| matches!(result, Err(Error::Length { .. }));
    assert!(!is_length(call(right, &one)) && !is_length(call(right, &of_each(3))));
    assert!(is_length(call(right, &of_each(2))) && is_length(call(right, &of_each(4))));
    for which in 0..right.len() {
        let mut wrong = right;
        wrong[which] -= 1;
        assert!(is_length(call(wrong, &one)), "{which}");
    }
}
