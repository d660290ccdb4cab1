//! How far a result may lie from PyTorch's.
//!
//! Both are roundings of one exact value, so the distance is at most our error and PyTorch's together:
//!
//! ```text
//! |ours − theirs| ≤ (s + AFTER_A_SUM · u) · terms  +  pytorch · max|theirs|
//! ```
//!
//! - u = 2⁻²⁴ (f32) or 2⁻⁵³ (f64) is the error of one rounding, relative to what is rounded.
//! - `terms` is the largest sum of magnitudes that a value of the tensor is added up from (γ·x̂, β and the residual for
//!   y): the result itself can be smaller, when they cancel, and its error cannot.
//! - s is the error of a sum of the device, from the additions that it makes (`tolerance` of the contract suite); what follows
//!   a sum (the root, the quotient, the products of γ, x̂ and 1/M, the last additions) is [`AFTER_A_SUM`] roundings at most.
//! - `pytorch` is PyTorch's own distance from the exact values, relative to the tensor's largest (README.md; for the
//!   exceptions measured again, in 50 decimal digits).

use batchnorm::{Device, Element, Shape};
use contract_suite::tolerance::{Additions, compute_roundoff};
use half::{bf16, f16};
use safetensors::Dtype;

use crate::file::{Golden, GoldenFile};

/// The most roundings that what is made of sums passes through.
const AFTER_A_SUM: f64 = 8.0;

/// The bound for one tensor of a case.
pub(crate) fn bound(
    device: &Device,
    name: &str,
    tensor: &str,
    case: &GoldenFile,
    expected: &GoldenFile,
) -> f64 {
    let theirs = &expected.tensors[tensor];
    let roundings = match case.tensors["x"].dtype {
        Dtype::F64 => error_of_values::<f64>(device, case),
        Dtype::F16 => error_of_values::<f16>(device, case),
        Dtype::BF16 => error_of_values::<bf16>(device, case),
        _ => error_of_values::<f32>(device, case),
    };
    let terms = largest(Terms::of(case, expected).of_tensor(tensor));
    roundings * terms + pytorch_error(name, tensor, theirs) * largest(&theirs.values)
}

/// What all roundings on the way to a result come to, of its terms.
fn error_of_values<T: Element>(device: &Device, case: &GoldenFile) -> f64 {
    let dims = &case.tensors["x"].dims;
    let shape = if case.says("layout", "channels_last") {
        Shape::channels_last(dims)
    } else {
        Shape::channels_first(dims)
    };
    let additions = Additions::of::<T, Device>(device, &shape.unwrap());
    additions.of_sum::<T>() + AFTER_A_SUM * compute_roundoff::<T>()
}

/// PyTorch's own error, relative to the tensor's largest value.
fn pytorch_error(name: &str, tensor: &str, theirs: &Golden) -> f64 {
    match (name, tensor) {
        // A gradient that is copied, or not: there is nothing to round.
        (_, "dresidual") => 0.0,
        // With two values x̂ is ±1, and dx is what is left when dv, dβ/2 and x̂·dγ/2 cancel.
        ("train_two_values", "dx") => 1e-5,
        // PyTorch computes y as x·a + b: at a mean of 1000 the two terms are a thousand times their sum.
        ("big_mean_train_f32", "y") => 1.9e-5,
        ("big_mean_train_f32", "dx") => 2.3e-6,
        ("big_mean_train_f32", "dweight") => 1.8e-5,
        ("big_mean_train_f32_last", "y") => 7.3e-5,
        ("big_mean_train_f32_last", "dx") => 1.7e-5,
        ("big_mean_train_f32_last", "dweight") => 2e-4,
        // Both round the mean of 1000 to f64 before they subtract it: u·1000 of a deviation of 1.
        ("big_mean_train_f64", "y" | "dx" | "dweight") => 1e-13,
        _ if theirs.dtype == Dtype::F64 => 2e-15,
        _ => 1e-6,
    }
}

/// Every channel's and every value's sizes.
struct Terms {
    y: Vec<f64>,
    dx: Vec<f64>,
    dweight: Vec<f64>,
    dbias: Vec<f64>,
    mean: Vec<f64>,
    inv_std: Vec<f64>,
    running_mean: Vec<f64>,
    running_var: Vec<f64>,
}

impl Terms {
    fn of(case: &GoldenFile, expected: &GoldenFile) -> Self {
        let x = &case.tensors["x"];
        let count = x.values.len();
        let (mean, inv_std) = (
            &expected.tensors["save_mean"].values,
            &expected.tensors["save_invstd"].values,
        );
        let channels = mean.len();
        let channel = channel_of_each_value(case, channels);
        let gamma = case.values_or("weight", channels, 1.0);
        let beta = case.values_or("bias", channels, 0.0);
        let residual = case.values_or("residual", count, 0.0);
        let dy = case.values_or("dy", count, 0.0);
        let values_per_channel = (count / channels) as f64;
        // Only batch statistics depend on x, so that dx has terms of dβ and dγ.
        let of_batch = !case.says("pass", "frozen") || !case.tensors.contains_key("running_mean");

        let (mut y, mut dx) = (Vec::new(), Vec::new());
        let (mut dweight, mut dbias) = (vec![0.0; channels], vec![0.0; channels]);
        let normalized = |i: usize| ((x.values[i] - mean[channel[i]]) * inv_std[channel[i]]).abs();
        for i in 0..count {
            let c = channel[i];
            y.push((gamma[c] * normalized(i)).abs() + beta[c].abs() + residual[i].abs());
            dweight[c] += dy[i].abs() * normalized(i);
            dbias[c] += dy[i].abs();
        }
        for i in 0..count {
            let c = channel[i];
            let through = (dbias[c] + normalized(i) * dweight[c]) / values_per_channel;
            let through = if of_batch { through } else { 0.0 };
            dx.push((gamma[c] * inv_std[c]).abs() * (dy[i].abs() + through));
        }

        let deviation = |c: usize| 1.0 / inv_std[c];
        let of_mean: Vec<f64> = (0..channels)
            .map(|c| mean[c].abs() + deviation(c))
            .collect();
        let unbiased = values_per_channel / (values_per_channel - 1.0).max(1.0);
        let old_mean = case.values_or("running_mean", channels, 0.0);
        let old_variance = case.values_or("running_var", channels, 0.0);
        Self {
            y,
            dx,
            dweight,
            dbias,
            running_mean: (0..channels)
                .map(|c| old_mean[c].abs().max(of_mean[c]))
                .collect(),
            running_var: (0..channels)
                .map(|c| old_variance[c].max(deviation(c).powi(2) * unbiased))
                .collect(),
            mean: of_mean,
            inv_std: inv_std.clone(),
        }
    }

    fn of_tensor(&self, tensor: &str) -> &[f64] {
        match tensor {
            "y" => &self.y,
            "dx" => &self.dx,
            "dweight" => &self.dweight,
            "dbias" => &self.dbias,
            "save_mean" => &self.mean,
            "save_invstd" => &self.inv_std,
            "running_mean" => &self.running_mean,
            "running_var" => &self.running_var,
            "dresidual" => &[0.0],
            other => panic!("no bound is stated for {other}"),
        }
    }
}

fn channel_of_each_value(case: &GoldenFile, channels: usize) -> Vec<usize> {
    let x = &case.tensors["x"];
    let neighbours = if case.says("layout", "channels_last") {
        1
    } else {
        x.dims[2..].iter().product()
    };
    (0..x.values.len())
        .map(|i| i / neighbours % channels)
        .collect()
}

fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |largest, value| largest.max(value.abs()))
}
