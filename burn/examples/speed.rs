//! Forward and backward of both layers on the same tensors, by turns: the median of several calls as a user writes them.
//!
//!     cargo run --release --manifest-path burn/Cargo.toml --example speed

use std::time::Instant;

use batchnorm_burn::BatchNorm;
use burn::tensor::{Device, Distribution, Tensor};

const CALLS: usize = 15;

/// Milliseconds of a forward pass, and of the loss and its backward pass.
fn once(forward: impl Fn(Tensor<4>) -> Tensor<4>, x: &Tensor<4>) -> (f64, f64) {
    let x = x.clone().require_grad();
    let start = Instant::now();
    let y = forward(x.clone());
    let forward = start.elapsed();
    let start = Instant::now();
    let gradients = y.sum().backward();
    assert!(x.grad(&gradients).is_some());
    let backward = start.elapsed();
    (forward.as_secs_f64() * 1e3, backward.as_secs_f64() * 1e3)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let device = Device::flex().autodiff();
    println!("milliseconds, f32         forward: burn    ours   loss and backward: burn    ours");
    for dims in [
        [32, 64, 56, 56],
        [32, 256, 14, 14],
        [16, 512, 7, 7],
        [8, 16, 8, 8],
    ] {
        let theirs = burn::nn::BatchNormConfig::new(dims[1]).init(&device);
        let ours = BatchNorm::from(theirs.clone());
        let x = Tensor::<4>::random(dims, Distribution::Normal(1.0, 2.0), &device);
        let mut times: [Vec<f64>; 4] = Default::default();
        for _ in 0..CALLS {
            let (forward, backward) = once(|x| theirs.forward(x), &x);
            times[0].push(forward);
            times[2].push(backward);
            let (forward, backward) = once(|x| ours.forward(x), &x);
            times[1].push(forward);
            times[3].push(backward);
        }
        let [burn, ours, burn_back, ours_back] = times.map(median);
        let name = dims.map(|dim| dim.to_string()).join("x");
        println!("{name:<20} {burn:17.3} {ours:7.3} {burn_back:25.3} {ours_back:7.3}");
    }
}
