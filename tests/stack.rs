//! How much of a thread's stack a pass takes, which must be little in debug builds too: rayon's threads have two megabytes by
//! default, and those of a program that makes many of its own often less. Without optimization nothing shares its place in a
//! frame, so what is inlined into a kernel must be little then (`unoptimized` in build.rs).

use std::thread;

use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Element, Level, Shape, Tensor};
use half::{bf16, f16};

/// A pass that took more would end the process.
const STACK: usize = 512 << 10;

/// A training pass back and forth of several tiles, and an inference.
fn passes<T: Element>(level: Level, shape: Shape, activation: Activation, residual: bool) {
    let cpu = Cpu::new().at_level(level).unwrap();
    let values: Vec<T> = (0..shape.len())
        .map(|i| T::from_f64((i % 97) as f64 / 31.0 - 1.5))
        .collect();
    let x = Tensor::new(&cpu, shape, &values).unwrap();
    let config = BatchNormConfig::new(shape.channels()).activation(activation);
    let mut layer: BatchNorm<Cpu, T::Compute> = BatchNorm::with_compute(&cpu, config).unwrap();
    let y = if residual {
        let (_, pass) = layer.forward_training_add(&x, &x).unwrap();
        pass.backward(&x).unwrap();
        layer.forward_inference_add(&x, &x).unwrap()
    } else {
        let (_, pass) = layer.forward_training(&x).unwrap();
        pass.backward(&x).unwrap();
        layer.forward_inference(&x).unwrap()
    };
    assert!(y.to_vec().unwrap().iter().all(|y| y.to_f64().is_finite()));
}

fn every_pass() {
    let shapes = [
        Shape::channels_first(&[8, 5, 91, 90]).unwrap(),
        Shape::channels_first(&[9, 20, 5, 4]).unwrap(),
        Shape::channels_last(&[40, 50, 170]).unwrap(),
        Shape::channels_last(&[7000, 3]).unwrap(),
    ];
    let activations = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Silu,
        Activation::Gelu,
    ];
    for level in Level::available() {
        for shape in shapes {
            for activation in activations {
                for residual in [false, true] {
                    passes::<f32>(level, shape, activation, residual);
                    passes::<f64>(level, shape, activation, residual);
                    passes::<f16>(level, shape, activation, residual);
                    passes::<bf16>(level, shape, activation, residual);
                }
            }
        }
    }
}

#[test]
fn a_pass_takes_half_a_megabyte_at_most() {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .stack_size(STACK)
        .build()
        .unwrap();
    let caller = thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || pool.install(every_pass));
    caller.unwrap().join().unwrap();
}
