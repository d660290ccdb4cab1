//! What a call allocates: memory that is not filled first, of which nothing may be left.

use batchnorm::backend::{Backend, Memory};
use batchnorm::{Activation, BatchNorm, BatchNormConfig, Element, Shape, Tensor};
use half::{bf16, f16};

use crate::data::{ordinary, typed};

pub fn nothing_is_left_of_what_was_in_memory<B: Backend>(backend: &B) {
    // Large enough that even a mask's memory is had again, and of lengths that no vector divides.
    of_type::<f32, B>(backend, Shape::channels_first(&[5, 9, 31, 33]).unwrap());
    of_type::<f32, B>(backend, Shape::channels_last(&[3, 19, 37, 21]).unwrap());
    of_type::<f64, B>(backend, Shape::channels_first(&[35, 40, 7, 5]).unwrap());
    of_type::<f64, B>(backend, Shape::channels_last(&[1009, 45]).unwrap());
    of_type::<f16, B>(backend, Shape::channels_first(&[35, 40, 7, 5]).unwrap());
    of_type::<f16, B>(backend, Shape::channels_last(&[3, 19, 37, 21]).unwrap());
    of_type::<bf16, B>(backend, Shape::channels_first(&[5, 9, 31, 33]).unwrap());
    of_type::<bf16, B>(backend, Shape::channels_last(&[1009, 45]).unwrap());
}

fn of_type<T: Element, B: Backend>(backend: &B, shape: Shape) {
    let tensors = [1, 2, 3].map(|seed| {
        let values = typed::<T>(&ordinary::<T>(shape, seed).x);
        Tensor::new(backend, shape, &values).unwrap()
    });
    for activation in [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Silu,
        Activation::Relu6,
        Activation::Gelu,
    ] {
        let config = BatchNormConfig::new(shape.channels()).activation(activation);
        let ghosts = config.ghost_batch(shape.batch() / 2);
        for (config, residual) in [(config, false), (ghosts, true)] {
            let what = format!("{shape} {} {config:?} {residual}", T::DTYPE);
            let after_zeros = passes::<T, B>(backend, &config, &tensors, residual, 0.0);
            let after_nan = passes::<T, B>(backend, &config, &tensors, residual, f64::NAN);
            assert!(after_nan.iter().all(|value| !value.is_nan()), "{what}");
            assert!(after_nan == after_zeros, "{what}");
        }
    }
}

/// All that the allocating calls give, in memory that had this value before.
fn passes<T: Element, B: Backend>(
    backend: &B,
    config: &BatchNormConfig,
    [x, dy, added]: &[Tensor<T, B>; 3],
    residual: bool,
    before: f64,
) -> Vec<f64> {
    let (shape, added) = (x.shape(), residual.then_some(added));
    let mut layer = BatchNorm::<B, T::Compute>::with_compute(backend, *config).unwrap();
    let mut found = vec![];
    let mut note = |tensor: &Tensor<T, B>| {
        let values = tensor.to_vec().unwrap();
        assert_eq!(values.len(), shape.len());
        found.extend(values.into_iter().map(Element::to_f64));
    };

    free_memory_of::<T, B>(backend, &shape, before);
    let (y, pass) = match added {
        Some(added) => layer.forward_training_add(x, added),
        None => layer.forward_training(x),
    }
    .unwrap();
    note(&y);
    free_memory_of::<T, B>(backend, &shape, before);
    let gradients = pass.backward(dy).unwrap();
    note(&gradients.input);
    gradients.residual.iter().for_each(&mut note);

    free_memory_of::<T, B>(backend, &shape, before);
    let (y, pass) = match added {
        Some(added) => layer.forward_frozen_add(x, added),
        None => layer.forward_frozen(x),
    }
    .unwrap();
    note(&y);
    free_memory_of::<T, B>(backend, &shape, before);
    let gradients = pass.backward(dy).unwrap();
    note(&gradients.input);
    gradients.residual.iter().for_each(&mut note);

    free_memory_of::<T, B>(backend, &shape, before);
    note(&match added {
        Some(added) => layer.forward_inference_add(x, added).unwrap(),
        None => layer.forward_inference(x).unwrap(),
    });
    for parameter in [gradients.gamma, gradients.beta].into_iter().flatten() {
        found.extend(parameter.to_vec().unwrap().into_iter().map(Element::to_f64));
    }
    found
}

/// Writes a value to memory of the sizes that a pass asks for, and frees it.
fn free_memory_of<T: Element, B: Backend>(backend: &B, shape: &Shape, value: f64) {
    let mask = shape.len().div_ceil(8 * size_of::<T>());
    let masks = [100, 120, 144, 172].map(|percent| mask * percent / 100);
    let buffers: Vec<_> = [shape.len(); 4]
        .into_iter()
        .chain(masks)
        .map(|len| backend.upload(&vec![T::from_f64(value); len]).unwrap())
        .collect();
    drop::<Vec<<B as Memory>::Buffer<T>>>(buffers);
}
