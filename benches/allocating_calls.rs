//! The three calls of the README in a plain training loop, which give new tensors, beside their `_into` forms, which write
//! into the caller's: what memory costs.
//!
//! `cargo bench -p benches --bench allocating_calls`; the names are `call/dtype/shape`.

use std::hint::black_box;

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Element, Result, Shape, Tensor};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use half::f16;
use workload::shapes::{name, values};

/// Arrays that the allocator maps anew each time, that it keeps, and that are in the cache.
const SHAPES: [[usize; 4]; 4] = [
    [32, 64, 112, 112],
    [32, 64, 56, 56],
    [32, 256, 14, 14],
    [8, 64, 16, 16],
];

/// What a loop has before it begins.
struct Loop<T: Element<Compute = f32>> {
    layer: BatchNorm<Cpu>,
    x: Tensor<T, Cpu>,
    dy: Tensor<T, Cpu>,
    y: Tensor<T, Cpu>,
    dx: Tensor<T, Cpu>,
}

impl<T: Element<Compute = f32>> Loop<T> {
    fn new(dims: &[usize]) -> Result<Self> {
        let (cpu, shape) = (Cpu::new(), Shape::channels_first(dims)?);
        let values = values::<T>(shape.len(), 1);
        Ok(Self {
            layer: BatchNorm::new(&cpu, BatchNormConfig::new(shape.channels()))?,
            x: Tensor::new(&cpu, shape, &values)?,
            dy: Tensor::new(&cpu, shape, &values)?,
            y: Tensor::zeros(&cpu, shape)?,
            dx: Tensor::zeros(&cpu, shape)?,
        })
    }

    fn allocating(&mut self) -> Result<()> {
        let (y, pass) = self.layer.forward_training(&self.x)?;
        let gradients = pass.backward(&self.dy)?;
        black_box((&y, &gradients.input));
        drop((y, gradients));
        black_box(self.layer.forward_inference(&self.x)?);
        Ok(())
    }

    fn in_given_memory(&mut self) -> Result<()> {
        let Self {
            layer,
            x,
            dy,
            y,
            dx,
        } = self;
        let pass = layer.forward_training_into(&*x, None, y)?;
        black_box(pass.backward_into(dy, dx, None)?);
        layer.forward_inference_into(&*x, None, y)
    }
}

fn of_type<T: Element<Compute = f32>>(criterion: &mut Criterion) {
    for dims in SHAPES {
        let mut calls = Loop::<T>::new(&dims).expect("arrays");
        let name = format!("{}/{}", T::DTYPE, name(&dims));
        let mut group = criterion.benchmark_group("training_loop");
        group.bench_function(BenchmarkId::new("into", &name), |bencher| {
            bencher.iter(|| calls.in_given_memory().expect("a pass"));
        });
        group.bench_function(BenchmarkId::new("allocating", &name), |bencher| {
            bencher.iter(|| calls.allocating().expect("a pass"));
        });
        group.finish();
    }
}

fn all(criterion: &mut Criterion) {
    of_type::<f32>(criterion);
    of_type::<f16>(criterion);
}

criterion_group!(benches, all);
criterion_main!(benches);
