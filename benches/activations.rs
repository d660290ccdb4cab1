//! What each activation costs beside none, on one thread and in `f32`: medians of a pass over 16x64x56x56, as a multiple of the same
//! pass without an activation.
//!
//! `cargo bench -p benches --bench activations`.

use std::hint::black_box;
use std::time::Instant;

use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Result, Shape, Tensor};
use workload::ranks::median;
use workload::shapes::values;

const ROUNDS: usize = 15;

/// Median seconds of inference, of the forward pass in training, and of the backward pass.
fn times(cpu: &Cpu, activation: Activation) -> Result<[f64; 3]> {
    let shape = Shape::channels_first(&[16, 64, 56, 56])?;
    let tensor = |seed| Tensor::new(cpu, shape, &values::<f32>(shape.len(), seed));
    let (x, dy) = (tensor(1)?, tensor(2)?);
    let (mut y, mut dx) = (tensor(3)?, tensor(4)?);
    let config = BatchNormConfig::new(shape.channels()).activation(activation);
    let mut layer = BatchNorm::<Cpu>::new(cpu, config)?;
    let mut spent = [const { vec![] }; 3];
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        layer.forward_inference_into(&x, None, &mut y)?;
        spent[0].push(begin.elapsed());
        black_box(&y);
        let begin = Instant::now();
        let pass = layer.forward_training_into(&x, None, &mut y)?;
        spent[1].push(begin.elapsed());
        let begin = Instant::now();
        pass.backward_into(&dy, &mut dx, None)?;
        spent[2].push(begin.elapsed());
        black_box((&y, &dx));
    }
    Ok(spent.map(|of_pass| median(of_pass).as_secs_f64()))
}

fn main() -> Result<()> {
    let cpu = Cpu::with_threads(1)?;
    println!("{cpu}: inference, forward in training, backward");
    let none = times(&cpu, Activation::None)?;
    // With PyTorch's slope and alpha.
    for activation in Activation::all(0.01, 1.0) {
        let found = times(&cpu, activation)?;
        let [inference, forward, backward] = [0, 1, 2].map(|pass| found[pass] / none[pass]);
        let milliseconds = found
            .map(|seconds| format!("{:.2}", seconds * 1e3))
            .join(", ");
        println!("{activation}: {inference:.2}, {forward:.2}, {backward:.2} ({milliseconds} ms)");
    }
    Ok(())
}
