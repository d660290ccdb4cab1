//! Activations against the textbook.

use batchnorm::backend::Backend;
use batchnorm::{Activation, Element, Shape};
use half::{bf16, f16};

use crate::comparison::{check_backward, close};
use crate::data::{add_residual, add_running, ordinary, round};
use crate::reference::Problem;
use crate::run::{How, backward, forward};
use crate::shapes;
use crate::tolerance::{compute_roundoff, store};

/// In every layout; training, and with running statistics; alone and after a residual; fused and in steps.
fn check<T: Element, B: Backend>(backend: &B, activation: Activation) {
    let shapes = shapes::small().into_iter().step_by(4);
    check_shapes::<T, B>(backend, activation, 1.0, shapes.chain(shapes::ranks()));
}

/// With γ and β so many times as large: a power of two.
fn check_shapes<T: Element, B: Backend>(
    backend: &B,
    activation: Activation,
    scale: f64,
    shapes: impl Iterator<Item = Shape>,
) {
    for (seed, shape) in shapes.enumerate() {
        for (running, residual) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut problem = ordinary::<T>(shape, 20 + seed as u64);
            problem.activation = activation;
            for parameter in problem.gamma.iter_mut().chain(&mut problem.beta) {
                *parameter *= scale;
            }
            if running {
                add_running::<T>(&mut problem, 9);
            }
            if residual {
                add_residual::<T>(&mut problem, 5);
            }
            let how = if seed % 2 == 0 {
                How::Fused
            } else {
                How::Composed
            };
            check_backward::<T, B>(backend, &problem, how);
        }
    }
}

fn check_types<B: Backend>(backend: &B, activation: Activation) {
    check::<f32, B>(backend, activation);
    check::<f16, B>(backend, activation);
    check::<bf16, B>(backend, activation);
    check::<f64, B>(backend, activation);
}

pub fn leaky_relu_matches_the_textbook<B: Backend>(backend: &B) {
    check_types(backend, Activation::LeakyRelu { slope: 0.01 });
    check::<f32, B>(backend, Activation::LeakyRelu { slope: 0.3 });
}

pub fn silu_matches_the_textbook<B: Backend>(backend: &B) {
    check_types(backend, Activation::Silu);
}

/// On few shapes, for it is SiLU's way through them; and with v from −8 to 8, where all of its pieces are.
fn check_widened<B: Backend>(backend: &B, activation: Activation) {
    let shapes = || shapes::ranks().into_iter();
    check_shapes::<f32, B>(backend, activation, 4.0, shapes());
    check_shapes::<f16, B>(backend, activation, 4.0, shapes());
    check_shapes::<bf16, B>(backend, activation, 4.0, shapes());
    check_shapes::<f64, B>(backend, activation, 4.0, shapes());
}

pub fn relu6_matches_the_textbook<B: Backend>(backend: &B) {
    check_widened(backend, Activation::Relu6);
    check::<f32, B>(backend, Activation::Relu6);
}

pub fn hardswish_matches_the_textbook<B: Backend>(backend: &B) {
    check_widened(backend, Activation::Hardswish);
}

pub fn elu_matches_the_textbook<B: Backend>(backend: &B) {
    check_widened(backend, Activation::Elu { alpha: 1.0 });
    check_widened(backend, Activation::Elu { alpha: 0.3 });
}

pub fn sigmoid_and_tanh_match_the_textbook<B: Backend>(backend: &B) {
    check_widened(backend, Activation::Sigmoid);
    check_widened(backend, Activation::Tanh);
}

pub fn gelu_matches_the_textbook<B: Backend>(backend: &B) {
    check_widened(backend, Activation::Gelu);
    check_widened(backend, Activation::GeluTanh);
}

/// Values and derivatives at zero, at the kinks, far out, and of what is no number: v is exactly x, by statistics that are given.
pub fn activations_of_single_values<B: Backend>(backend: &B) {
    of_single_values::<f32, B>(backend);
    of_single_values::<f16, B>(backend);
    of_single_values::<bf16, B>(backend);
    of_single_values::<f64, B>(backend);
}

/// Whose v is exactly x, one channel of it, and whose dy is 1.
pub fn problem_of_values(activation: Activation, residual: bool, x: &[f64]) -> Problem {
    Problem {
        shape: Shape::channels_first(&[x.len(), 1, 1]).unwrap(),
        x: x.to_vec(),
        gamma: vec![1.0],
        beta: vec![0.0],
        epsilon: 0.0,
        residual: residual.then(|| vec![0.0; x.len()]),
        activation,
        running: Some((vec![0.0], vec![1.0])),
        dy: vec![1.0; x.len()],
    }
}

fn of_single_values<T: Element, B: Backend>(backend: &B) {
    let magnitudes = [
        0.0,
        2f64.powi(-14),
        0.125,
        1.0,
        2.5,
        3.0,
        4.0,
        6.0,
        7.0,
        11.0,
        40.0,
        1e4,
        f64::INFINITY,
    ];
    let mut x: Vec<f64> = magnitudes.iter().flat_map(|&v| [v, -v]).collect();
    x.push(f64::NAN);
    for activation in Activation::all(0.1, 0.7) {
        for residual in [false, true] {
            let x: Vec<f64> = x.iter().map(|&v| round::<T>(v)).collect();
            let problem = problem_of_values(activation, residual, &x);
            let answer = forward::<T, B>(backend, &problem, How::Fused);
            let gradients = backward::<T, B>(backend, &problem, &answer, How::Fused, false);
            for (i, &v) in x.iter().enumerate() {
                // The exponent of GELU's tail is off by as many roundoffs as it is large.
                let roundoff = compute_roundoff::<T>();
                let near = |what: &str, found: T, expected: f64, absolute: f64| {
                    let what = format!("{what} of {activation} at {v}");
                    let relative = (20.0 + 5.0 * v * v) * expected.abs();
                    let bound = (relative + absolute) * roundoff + store::<T>(expected);
                    close(&what, &problem, i, found.to_f64(), expected, bound);
                };
                near("y", answer.y[i], activation.forward(v), 0.0);
                near("dx", gradients.dx[i], activation.derivative(v), 10.0);
            }
        }
    }
}

/// Tiles of many shapes, and results that are written past the caches.
pub fn activations_of_large_arrays_match_the_textbook<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::large().into_iter().step_by(2).enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        add_residual::<f32>(&mut problem, 3);
        for activation in [
            Activation::Silu,
            Activation::Gelu,
            Activation::LeakyRelu { slope: 0.2 },
            Activation::Relu6,
        ] {
            problem.activation = activation;
            check_backward::<f32, B>(backend, &problem, How::Fused);
        }
    }
}
