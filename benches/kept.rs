//! What it costs that not all of a batch is kept, on one thread and in `f32`: medians of the passes of a layer over sequences and images, as
//! a multiple of the same passes over all of it.
//!
//! `cargo bench -p benches --bench kept`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Data, Kept, Result, Shape, Tensor};
use workload::ranks::median;
use workload::shapes::values;

const ROUNDS: usize = 15;

/// Everything that is, a part, and so many of all places.
fn ways(shape: &Shape) -> Result<[(&'static str, Option<Kept>); 5]> {
    let (samples, positions) = (shape.batch(), shape.spatial());
    let places = 0..samples * positions;
    let lengths: Vec<usize> = (0..samples)
        .map(|n| positions * (1 + n * 7 % 10) / 10)
        .collect();
    let scattered: Vec<bool> = places.clone().map(|i| i * i % 11 < 6).collect();
    let weights: Vec<f32> = places.map(|i| [0.5, 1.0, 0.25, 0.75][i % 4]).collect();
    Ok([
        ("all", None),
        (
            "all, as a mask",
            Some(Kept::places(shape, &vec![true; samples * positions])?),
        ),
        ("lengths, 55% of it", Some(Kept::lengths(shape, &lengths)?)),
        ("places, 55% of it", Some(Kept::places(shape, &scattered)?)),
        ("weights", Some(Kept::weights(shape, &weights)?)),
    ])
}

/// The forward pass in training and the backward pass.
fn pass<X: Data<Cpu, Element = f32>>(
    layer: &mut BatchNorm<Cpu>,
    x: X,
    y: &mut Tensor<f32, Cpu>,
    [dy, dx]: [&mut Tensor<f32, Cpu>; 2],
) -> Result<[Duration; 2]> {
    let begin = Instant::now();
    let pass = layer.forward_training_into(x, None, y)?;
    let forward = begin.elapsed();
    let begin = Instant::now();
    pass.backward_into(dy, dx, None)?;
    let backward = begin.elapsed();
    black_box((y, dx));
    Ok([forward, backward])
}

fn main() -> Result<()> {
    let cpu = Cpu::with_threads(1)?;
    println!("{cpu}: forward in training, backward");
    for shape in [
        Shape::channels_first(&[32, 64, 1024])?,
        Shape::channels_first(&[32, 256, 128])?,
        Shape::channels_first(&[16, 64, 56, 56])?,
        Shape::channels_first(&[32, 512, 7, 7])?,
        Shape::channels_last(&[32, 1024, 64])?,
        Shape::channels_last(&[32, 128, 256])?,
        Shape::channels_last(&[16, 1024, 3])?,
        Shape::channels_first(&[8, 16, 64])?,
    ] {
        let tensor = |seed| Tensor::new(&cpu, shape, &values::<f32>(shape.len(), seed));
        let (x, mut dy, mut y, mut dx) = (tensor(1)?, tensor(2)?, tensor(3)?, tensor(4)?);
        let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(shape.channels()))?;
        let ways = ways(&shape)?;
        let mut spent = [const { [vec![], vec![]] }; 5];
        for _ in 0..ROUNDS {
            for ((_, kept), spent) in ways.iter().zip(&mut spent) {
                let out = [&mut dy, &mut dx];
                let [forward, backward] = match kept {
                    None => pass(&mut layer, &x, &mut y, out)?,
                    Some(kept) => pass(&mut layer, kept.of(&x), &mut y, out)?,
                };
                spent[0].push(forward);
                spent[1].push(backward);
            }
        }
        println!("{shape}");
        let found = spent.map(|of_way| of_way.map(|pass| median(pass).as_secs_f64()));
        for ((way, _), times) in ways.iter().zip(&found) {
            let [forward, backward] = [0, 1].map(|pass| times[pass] / found[0][pass]);
            let [f, b] = times.map(|seconds| seconds * 1e3);
            println!("  {way}: {forward:.2}, {backward:.2} ({f:.3}, {b:.3} ms)");
        }
    }
    Ok(())
}
