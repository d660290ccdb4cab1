//! Second derivatives: the backward pass of the backward pass.

pub(crate) mod answer;
pub(crate) mod comparison;
pub(crate) mod differences;
pub(crate) mod textbook;

use batchnorm::backend::Backend;
use batchnorm::{Activation, Cpu, Element, Error, Shape};
use half::{bf16, f16};

use crate::comparison::check_forward;
use crate::data::{add_residual, add_running, ordinary, round};
use crate::determinism::lower_levels_that_round_alike;
use crate::double_backward::answer::{SecondAnswer, double_backward, ordinary_given};
use crate::double_backward::comparison::{check, hold};
use crate::double_backward::textbook::Given;
use crate::reference::Problem;
use crate::run::{How, forward};
use crate::shapes;

/// A problem with each activation that has second derivatives, plain and after a residual.
fn with_each_epilogue<T: Element>(mut problem: Problem, check: impl Fn(&Problem)) {
    for residual in [false, true] {
        if residual {
            add_residual::<T>(&mut problem, 5);
        }
        for activation in Activation::all(0.1, 1.0).filter(|one| one.has_second_derivatives()) {
            problem.activation = activation;
            check(&problem);
        }
    }
}

/// Forward and twice backward, with all that a pass can be given.
pub fn check_double_backward<T: Element, B: Backend>(backend: &B, problem: &Problem, seed: u64) {
    check::<T, B>(backend, problem, &ordinary_given::<T>(problem, seed));
}

/// On every seventh of the small shapes: seven is no multiple of what they are products of.
fn of_type<T: Element, B: Backend>(backend: &B, frozen: bool) {
    let small = shapes::small().into_iter().step_by(7);
    for (seed, shape) in small.chain(shapes::ranks()).enumerate() {
        let mut problem = ordinary::<T>(shape, seed as u64);
        if frozen {
            add_running::<T>(&mut problem, 9);
        }
        with_each_epilogue::<T>(problem, |problem| {
            check_double_backward::<T, B>(backend, problem, seed as u64 + 100);
        });
    }
}

pub fn double_backward_training_matches_the_textbook_in_f32<B: Backend>(backend: &B) {
    of_type::<f32, B>(backend, false);
}

pub fn double_backward_training_matches_the_textbook_in_f16<B: Backend>(backend: &B) {
    of_type::<f16, B>(backend, false);
}

pub fn double_backward_training_matches_the_textbook_in_bf16<B: Backend>(backend: &B) {
    of_type::<bf16, B>(backend, false);
}

pub fn double_backward_training_matches_the_textbook_in_f64<B: Backend>(backend: &B) {
    of_type::<f64, B>(backend, false);
}

pub fn double_backward_frozen_matches_the_textbook<B: Backend>(backend: &B) {
    of_type::<f32, B>(backend, true);
    of_type::<f16, B>(backend, true);
    of_type::<bf16, B>(backend, true);
    of_type::<f64, B>(backend, true);
}

/// With every choice of what is given.
pub fn missing_gradients_of_gradients_are_zero<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        for frozen in [false, true] {
            let mut problem = ordinary::<f32>(shape, seed as u64);
            problem.activation = Activation::Relu;
            add_residual::<f32>(&mut problem, 5);
            if frozen {
                add_running::<f32>(&mut problem, 9);
            }
            let all = ordinary_given::<f32>(&problem, seed as u64 + 100);
            for choice in 0..16 {
                let chosen = |bit: usize, array: &Option<Vec<f64>>| {
                    array.clone().filter(|_| choice >> bit & 1 == 1)
                };
                let given = Given {
                    input: chosen(0, &all.input),
                    residual: chosen(1, &all.residual),
                    gamma: chosen(2, &all.gamma),
                    beta: chosen(3, &all.beta),
                };
                check::<f32, B>(backend, &problem, &given);
            }
        }
    }
}

/// Work that is cut in each of the ways there are, and outputs that are written past the caches.
pub fn double_backward_of_large_arrays_matches_the_textbook<B: Backend>(backend: &B) {
    fn check_shape<T: Element, B: Backend>(backend: &B, shape: Shape, seed: u64) {
        let mut problem = ordinary::<T>(shape, seed);
        let given = ordinary_given::<T>(&problem, seed + 100);
        check::<T, B>(backend, &problem, &given);
        problem.activation = Activation::Relu;
        check::<T, B>(backend, &problem, &given);
        add_residual::<T>(&mut problem, 3);
        let given = ordinary_given::<T>(&problem, seed + 100);
        check::<T, B>(backend, &problem, &given);
    }
    for (seed, shape) in shapes::large().into_iter().enumerate() {
        check_shape::<f32, B>(backend, shape, seed as u64);
        check_shape::<bf16, B>(backend, shape, seed as u64);
    }
    for shape in shapes::streamed(size_of::<f32>()) {
        check_shape::<f32, B>(backend, shape, 1);
    }
}

pub fn second_derivatives_are_slopes_of_the_gradients<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        for frozen in [false, true] {
            let mut problem = ordinary::<f64>(shape, seed as u64 + 20);
            problem.epsilon = 0.01;
            if frozen {
                add_running::<f64>(&mut problem, 9);
            }
            problem.activation = Activation::LeakyRelu { slope: 0.3 };
            add_residual::<f64>(&mut problem, 5);
            let given = ordinary_given::<f64>(&problem, seed as u64 + 100);
            differences::check::<B>(backend, &problem, &given);
        }
    }
}

/// Not a number in any of the arrays: the other channels have the bits that they had.
pub fn nan_stays_in_its_channel_of_second_derivatives<B: Backend>(backend: &B) {
    for shape in shapes::ranks() {
        let problem = ordinary::<f32>(shape, 1);
        let given = ordinary_given::<f32>(&problem, 2);
        let place = shape.index(1, 2, 0);
        let expected = answered::<f32, B>(backend, &problem, &given);
        let (mut of_x, mut of_dy, mut of_outer) = (problem.clone(), problem.clone(), given.clone());
        of_x.x[place] = f64::NAN;
        of_dy.dy[place] = f64::NAN;
        of_outer.input.as_mut().expect("a gradient of dx")[place] = f64::NAN;
        for (problem, given) in [(&of_x, &given), (&of_dy, &given), (&problem, &of_outer)] {
            let found = answered::<f32, B>(backend, problem, given);
            assert!(found.dy[place].is_nan() || found.x[place].is_nan());
            for c in (0..shape.channels()).filter(|&c| c != 2) {
                assert_eq!(found.gamma[c].to_bits(), expected.gamma[c].to_bits());
                for i in problem.channel(c) {
                    assert_eq!(found.dy[i].to_bits(), expected.dy[i].to_bits());
                    assert_eq!(found.x[i].to_bits(), expected.x[i].to_bits());
                }
            }
        }
    }
}

/// Small gradients lose no digits in the products of two of them, and large ones do not overflow where the result does not.
pub fn gradients_of_any_size_keep_their_digits_in_second_derivatives<B: Backend>(backend: &B) {
    for shape in shapes::ranks() {
        for (of_dy, of_outer) in [(1e-25, 1e-15), (1e-30, 1e30), (1e18, 1e18), (1e-38, 1.0)] {
            let mut problem = ordinary::<f32>(shape, 3);
            let mut given = ordinary_given::<f32>(&problem, 4);
            let scale = |values: &mut [f64], by: f64| {
                for value in values {
                    *value = round::<f32>(*value * by);
                }
            };
            scale(&mut problem.dy, of_dy);
            scale(given.input.as_mut().expect("a gradient of dx"), of_outer);
            (given.gamma, given.beta) = (None, None);
            check::<f32, B>(backend, &problem, &given);
        }
    }
}

/// Means of u and g that are many deviations: what is taken of both together is taken about the means.
pub fn large_means_cost_no_digits_in_second_derivatives<B: Backend>(backend: &B) {
    fn of_type<T: Element, B: Backend>(backend: &B, shape: Shape, mean: f64) {
        let mut problem = ordinary::<T>(shape, 5);
        let mut given = ordinary_given::<T>(&problem, 6);
        let outer = given.input.as_mut().expect("a gradient of dx");
        for value in problem.dy.iter_mut().chain(outer) {
            *value = round::<T>(*value + mean);
        }
        check::<T, B>(backend, &problem, &given);
    }
    for shape in shapes::ranks() {
        of_type::<f32, B>(backend, shape, 100.0);
        of_type::<f32, B>(backend, shape, 1e4);
        of_type::<f64, B>(backend, shape, 1e8);
    }
    for shape in shapes::large() {
        of_type::<f32, B>(backend, shape, 1e4);
    }
}

/// A backend either has them, or says that it has not and writes nothing.
pub fn a_device_has_second_derivatives_or_writes_nothing<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        let problem = ordinary::<f32>(shape, seed as u64);
        let given = ordinary_given::<f32>(&problem, 100);
        let (answer, expected) = check_forward::<f32, B>(backend, &problem, How::Fused);
        let (result, found) = double_backward::<f32, B>(backend, &problem, &answer, &given);
        match result {
            Ok(()) => hold::<f32, B>(backend, &problem, (&answer.y, &expected), &given, &found),
            Err(Error::Value { what, .. }) => {
                assert_eq!(what, "the device of second derivatives");
                assert!(found.is_unwritten());
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// What a backend answers, which must have second derivatives.
fn answered<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    given: &Given,
) -> SecondAnswer<T> {
    let answer = forward::<T, B>(backend, problem, How::Fused);
    let (result, found) = double_backward::<T, B>(backend, problem, &answer, given);
    result.unwrap();
    found
}

/// Of an ordinary problem with a residual and ReLU.
fn everything<T: Element>(cpu: &Cpu, shape: Shape) -> SecondAnswer<T> {
    let mut problem = ordinary::<T>(shape, 8);
    problem.activation = Activation::Relu;
    add_residual::<T>(&mut problem, 9);
    let given = ordinary_given::<T>(&problem, 10);
    answered::<T, Cpu>(cpu, &problem, &given)
}

pub fn threads_change_no_bit_of_second_derivatives(cpu: &Cpu) {
    let with_threads = |threads| {
        let threads = Cpu::with_threads(threads).unwrap();
        threads.at_level(cpu.level()).unwrap()
    };
    for shape in shapes::large() {
        let one = everything::<f32>(&with_threads(1), shape);
        let one_half = everything::<bf16>(&with_threads(1), shape);
        for threads in [2, 3, 7] {
            let cpu = with_threads(threads);
            assert_eq!(one, everything::<f32>(&cpu, shape), "{shape}, {threads}");
            assert_eq!(
                one_half,
                everything::<bf16>(&cpu, shape),
                "{shape}, {threads}"
            );
        }
    }
}

pub fn levels_agree_in_second_derivatives(cpu: &Cpu) {
    for other in lower_levels_that_round_alike(cpu) {
        for shape in shapes::ranks().into_iter().chain(shapes::large()) {
            let (a, b) = (
                everything::<f32>(&other, shape),
                everything::<f32>(cpu, shape),
            );
            assert_eq!(a, b, "{shape}: {} and {}", other.level(), cpu.level());
        }
    }
}
