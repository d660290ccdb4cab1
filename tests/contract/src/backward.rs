//! Backward passes against the textbook.

use batchnorm::backend::Backend;
use batchnorm::{Activation, Element};
use half::{bf16, f16};

use crate::comparison::check_backward;
use crate::data::{add_residual, add_running, ordinary};
use crate::forward::with_each_epilogue;
use crate::run::How;
use crate::shapes;

/// On every `step`th of the small shapes.
fn training<T: Element, B: Backend>(backend: &B, step: usize) {
    for (seed, shape) in shapes::small()
        .into_iter()
        .step_by(step)
        .chain(shapes::ranks())
        .enumerate()
    {
        with_each_epilogue::<T>(ordinary::<T>(shape, seed as u64), |problem| {
            check_backward::<T, B>(backend, problem, How::Fused);
        });
    }
}

pub fn backward_training_matches_the_textbook_in_f32<B: Backend>(backend: &B) {
    training::<f32, B>(backend, 1);
}

pub fn backward_training_matches_the_textbook_in_f16<B: Backend>(backend: &B) {
    training::<f16, B>(backend, 1);
}

pub fn backward_training_matches_the_textbook_in_bf16<B: Backend>(backend: &B) {
    training::<bf16, B>(backend, 1);
}

/// Seven is no multiple of what the shapes are products of: each layout, number of channels, batch and length is among them.
pub fn backward_training_of_some_shapes_matches_the_textbook_in_bf16<B: Backend>(backend: &B) {
    training::<bf16, B>(backend, 7);
}

pub fn backward_training_matches_the_textbook_in_f64<B: Backend>(backend: &B) {
    training::<f64, B>(backend, 1);
}

pub fn backward_frozen_matches_the_textbook<B: Backend>(backend: &B) {
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
                check_backward::<T, B>(backend, problem, How::Fused);
            });
        }
    }
    check::<f32, B>(backend);
    check::<f16, B>(backend);
    check::<bf16, B>(backend);
    check::<f64, B>(backend);
}

pub fn backward_of_large_arrays_matches_the_textbook<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::large().into_iter().enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        check_backward::<f32, B>(backend, &problem, How::Fused);
        problem.activation = Activation::Relu;
        check_backward::<f32, B>(backend, &problem, How::Fused);
        add_residual::<f32>(&mut problem, 3);
        check_backward::<f32, B>(backend, &problem, How::Fused);
        check_backward::<bf16, B>(backend, &ordinary::<bf16>(shape, seed as u64), How::Fused);
    }
}

/// Outputs of 4 MB and more are written past the caches, from the first aligned place on.
pub fn backward_of_streamed_arrays_matches_the_textbook<B: Backend>(backend: &B) {
    for shape in shapes::streamed(size_of::<f32>()) {
        let mut problem = ordinary::<f32>(shape, 1);
        problem.activation = Activation::Relu;
        check_backward::<f32, B>(backend, &problem, How::Fused);
        add_residual::<f32>(&mut problem, 3);
        check_backward::<f32, B>(backend, &problem, How::Fused);
    }
}

pub fn backward_composed_of_steps_matches_the_textbook<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks()
        .into_iter()
        .chain(shapes::large().into_iter().step_by(2))
        .enumerate()
    {
        with_each_epilogue::<f32>(ordinary::<f32>(shape, seed as u64), |problem| {
            check_backward::<f32, B>(backend, problem, How::Composed);
        });
    }
}
