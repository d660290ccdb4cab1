//! Activations that are computed, not chosen, against the textbook.

use batchnorm::backend::Backend;
use batchnorm::{Activation, Element};
use half::{bf16, f16};

use crate::data::{add_residual, add_running, ordinary};
use crate::run::{How, check_backward};
use crate::shapes;

/// In every type and layout; training, and with running statistics; alone and after a residual; fused and in steps.
fn check<T: Element, B: Backend>(backend: &B, activation: Activation) {
    let shapes = shapes::small().into_iter().step_by(4);
    for (seed, shape) in shapes.chain(shapes::ranks()).enumerate() {
        for (running, residual) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut problem = ordinary::<T>(shape, 20 + seed as u64);
            problem.activation = activation;
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

/// Tiles of many shapes, and results that are written past the caches.
pub fn activations_of_large_arrays_match_the_textbook<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::large().into_iter().step_by(2).enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        add_residual::<f32>(&mut problem, 3);
        for activation in [Activation::Silu, Activation::LeakyRelu { slope: 0.2 }] {
            problem.activation = activation;
            check_backward::<f32, B>(backend, &problem, How::Fused);
        }
    }
}
