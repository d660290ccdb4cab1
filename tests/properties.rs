//! What must hold for any shape and any data.

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Layout, Shape, Tensor};
use proptest::prelude::*;

/// A shape of up to some thousand values, in either layout.
fn shape() -> impl Strategy<Value = Shape> {
    let layout = prop_oneof![Just(Layout::ChannelsFirst), Just(Layout::ChannelsLast)];
    let dims = prop_oneof![
        (2..40usize, 1..70usize).prop_map(|(n, c)| vec![n, c]),
        (1..9usize, 1..20usize, 2..90usize).prop_map(|(n, c, l)| vec![n, c, l]),
        (1..6usize, 1..12usize, 2..9usize, 1..9usize).prop_map(|(n, c, h, w)| vec![n, c, h, w]),
    ];
    let shape = (dims, layout).prop_map(|(dims, layout)| Shape::new(&dims, layout).unwrap());
    shape.prop_filter("batch statistics need two values", |shape| {
        shape.values_per_channel() > 1
    })
}

/// A shape and that many values, twice.
fn problem() -> impl Strategy<Value = (Shape, Vec<f32>, Vec<f32>)> {
    shape().prop_flat_map(|shape| {
        let values = || prop::collection::vec(-10.0f32..10.0, shape.len());
        (Just(shape), values(), values())
    })
}

fn layer(channels: usize) -> BatchNorm<Cpu> {
    BatchNorm::new(&Cpu::new(), BatchNormConfig::new(channels)).unwrap()
}

fn tensor(shape: Shape, values: &[f32]) -> Tensor<f32, Cpu> {
    Tensor::new(&Cpu::new(), shape, values).unwrap()
}

/// For each channel Σ over its values.
fn per_channel(shape: &Shape, value: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; shape.channels()];
    for n in 0..shape.batch() {
        for c in 0..shape.channels() {
            for s in 0..shape.spatial() {
                sums[c] += value(shape.index(n, c, s));
            }
        }
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// y has mean 0, and variance σ²/(σ² + ε).
    #[test]
    fn output_is_standardized((shape, x, _) in problem()) {
        let y = layer(shape.channels()).forward_training(&tensor(shape, &x)).unwrap().0.to_vec().unwrap();
        let count = shape.values_per_channel() as f64;
        for sum in per_channel(&shape, |i| f64::from(y[i])) {
            prop_assert!((sum / count).abs() < 1e-6);
        }
        let mean: Vec<f64> = per_channel(&shape, |i| f64::from(x[i])).iter().map(|sum| sum / count).collect();
        for (c, squares) in per_channel(&shape, |i| f64::from(y[i]).powi(2)).into_iter().enumerate() {
            let channel_of = |i: usize| (0..shape.channels()).find(|&c| belongs(&shape, c, i)).unwrap();
            let variance = (0..shape.len())
                .filter(|&i| channel_of(i) == c)
                .map(|i| (f64::from(x[i]) - mean[c]).powi(2))
                .sum::<f64>() / count;
            prop_assert!((squares / count - variance / (variance + 1e-5)).abs() < 1e-5);
        }
    }

    /// dx is orthogonal to the constant and to x̂: a step along either changes no output.
    #[test]
    fn input_gradient_has_no_part_that_normalization_undoes((shape, x, dy) in problem()) {
        let (x, dy) = (tensor(shape, &x), tensor(shape, &dy));
        let mut layer = layer(shape.channels());
        let (y, pass) = layer.forward_training(&x).unwrap();
        let dx = pass.backward(&dy).unwrap().input.to_vec().unwrap();
        let (y, inv_std) = (y.to_vec().unwrap(), pass.statistics()[0].inv_std().to_vec().unwrap());
        let variance = pass.statistics()[0].variance().to_vec().unwrap();
        let count = shape.values_per_channel() as f64;
        let sums = per_channel(&shape, |i| f64::from(dx[i]));
        let products = per_channel(&shape, |i| f64::from(dx[i]) * f64::from(y[i]));
        for c in 0..shape.channels() {
            let size = 30.0 * f64::from(inv_std[c]) * count;
            prop_assert!(sums[c].abs() < 2e-6 * size, "{} of {}", sums[c], size);
            // With ε the second holds up to ε·inv_std²; it is exact in the limit.
            let slack = 1e-5 / (f64::from(variance[c]) + 1e-5);
            prop_assert!(products[c].abs() < (2e-5 + slack) * size, "{} of {}", products[c], size);
        }
    }

    /// Adding a constant to x, or multiplying it by a power of two, changes y by rounding (and ε) alone.
    #[test]
    fn output_ignores_shift_and_scale((shape, x, _) in problem()) {
        let mut layer = layer(shape.channels());
        let (y, pass) = layer.forward_training(tensor(shape, &x)).unwrap();
        let (y, variance) = (y.to_vec().unwrap(), pass.statistics()[0].variance().to_vec().unwrap());
        let moved: Vec<f32> = x.iter().map(|x| (x + 16.0) * 4.0).collect();
        let again = layer.forward_training(&tensor(shape, &moved)).unwrap().0.to_vec().unwrap();
        for c in 0..shape.channels() {
            let deviation = f64::from(variance[c]).sqrt().max(1e-9);
            // Rounding of x + 16 is 2⁻²⁰; ε weighs 16 times less after the scaling.
            let bound = 4e-6 / deviation + 1e-5 / deviation.powi(2) * 40.0 + 1e-5;
            for i in (0..shape.len()).filter(|&i| belongs(&shape, c, i)) {
                prop_assert!((f64::from(y[i]) - f64::from(again[i])).abs() <= bound);
            }
        }
    }

    /// Channels last is channels first, transposed.
    #[test]
    fn layouts_agree((shape, x, dy) in problem()) {
        let mut dims = shape.logical_dims();
        let first = Shape::channels_first(&dims).unwrap();
        dims[1..].rotate_left(1);
        let last = Shape::channels_last(&dims).unwrap();
        let transposed = |values: &[f32]| {
            let mut out = vec![0.0; values.len()];
            for n in 0..first.batch() {
                for c in 0..first.channels() {
                    for s in 0..first.spatial() {
                        out[last.index(n, c, s)] = values[first.index(n, c, s)];
                    }
                }
            }
            out
        };
        let run = |shape: Shape, x: &[f32], dy: &[f32]| {
            let x = tensor(shape, x);
            let (y, pass) = layer(shape.channels()).forward_training(&x).map(|(y, pass)| (y.to_vec().unwrap(), pass)).unwrap();
            (y, pass.backward(&tensor(shape, dy)).unwrap().input.to_vec().unwrap())
        };
        let (y, dx) = run(first, &x, &dy);
        let (y_last, dx_last) = run(last, &transposed(&x), &transposed(&dy));
        for (a, b) in transposed(&y).iter().zip(&y_last) {
            prop_assert!((a - b).abs() <= 1e-5 * (1.0 + a.abs()));
        }
        let largest = dx.iter().fold(1.0f32, |largest, dx| largest.max(dx.abs()));
        for (a, b) in transposed(&dx).iter().zip(&dx_last) {
            prop_assert!((a - b).abs() <= 1e-5 * largest);
        }
    }
}

/// Whether the value at `i` is of channel `c`.
fn belongs(shape: &Shape, c: usize, i: usize) -> bool {
    match shape.layout() {
        Layout::ChannelsFirst => i / shape.spatial() % shape.channels() == c,
        Layout::ChannelsLast => i % shape.channels() == c,
    }
}
