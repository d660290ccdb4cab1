//! Against burn's own layer: the same shapes, views, types, modes and records.

use batchnorm_burn::{BatchNorm, BatchNormConfig};
use burn::module::{Module, Param, ParamGroup};
use burn::tensor::{DType, Device, Tensor, TensorData, Tolerance};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Both layers with the same random γ, β and running statistics.
fn layers(channels: usize, device: &Device) -> (BatchNorm, burn::nn::BatchNorm) {
    // A clone would share the running statistics.
    (
        BatchNorm::from(layer(channels, device)),
        layer(channels, device),
    )
}

fn layer(channels: usize, device: &Device) -> burn::nn::BatchNorm {
    let mut random = StdRng::seed_from_u64(channels as u64);
    let mut vector = |from: f32, to: f32| {
        let values: Vec<f32> = (0..channels)
            .map(|_| random.random_range(from..to))
            .collect();
        Tensor::<1>::from_data(TensorData::new(values, [channels]), device)
    };
    let mut layer = burn::nn::BatchNormConfig::new(channels).init(device);
    let trained = device.is_autodiff();
    layer.gamma = layer
        .gamma
        .map(|_| vector(-2.0, 2.0).set_require_grad(trained));
    layer.beta = layer
        .beta
        .map(|_| vector(-1.0, 1.0).set_require_grad(trained));
    layer.running_mean.update(vector(-1.0, 1.0));
    layer.running_var.update(vector(0.5, 2.0));
    // What is waiting is counted when it is asked for.
    layer.running_mean.value_sync();
    layer.running_var.value_sync();
    layer
}

fn random<const D: usize>(dims: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let mut random = StdRng::seed_from_u64(seed);
    let values: Vec<f32> = (0..dims.iter().product())
        .map(|_| 3.0 + 2.0 * random.random_range(-1.0..1.0f32))
        .collect();
    Tensor::from_data(TensorData::new(values, dims), device)
}

/// y, dx, dγ, dβ and both running statistics of a forward and a backward pass whose dy is w.
struct Results(Vec<TensorData>);

macro_rules! results {
    ($layer:expr, $x:expr, $w:expr) => {{
        let (layer, x) = ($layer, $x.require_grad());
        let y = layer.forward(x.clone());
        let gradients = (y.clone() * $w).sum().backward();
        Results(vec![
            y.into_data(),
            x.grad(&gradients).unwrap().into_data(),
            layer.gamma.grad(&gradients).unwrap().into_data(),
            layer.beta.grad(&gradients).unwrap().into_data(),
            layer.running_mean.value_sync().into_data(),
            layer.running_var.value_sync().into_data(),
        ])
    }};
}

/// Beside the largest value of each, since a sum of many has the errors of all.
fn assert_close(ours: &Results, theirs: &Results, tolerance: f64) {
    let names = [
        "y",
        "dx",
        "dgamma",
        "dbeta",
        "running mean",
        "running variance",
    ];
    for ((ours, theirs), name) in ours.0.iter().zip(&theirs.0).zip(names) {
        assert_eq!(ours.shape(), theirs.shape(), "{name}");
        let largest = theirs
            .iter::<f64>()
            .fold(1.0, |largest: f64, value| largest.max(value.abs()));
        for (one, other) in ours.iter::<f64>().zip(theirs.iter::<f64>()) {
            let error = (one - other).abs();
            assert!(error <= tolerance * largest, "{name}: {one} and {other}");
        }
    }
}

/// Both statistics: the batch's, and the running ones as constants while γ and β still learn.
fn in_both_modes(channels: usize, device: &Device, run: impl Fn(&BatchNorm, &burn::nn::BatchNorm)) {
    for follows in [true, false] {
        let (mut ours, mut theirs) = layers(channels, device);
        ours.training = Param::from_bool(follows);
        theirs.training = Param::from_bool(follows);
        run(&ours, &theirs);
    }
}

fn compare<const D: usize>(dims: [usize; D]) {
    let device = Device::flex().autodiff();
    in_both_modes(dims[1], &device, |ours, theirs| {
        let (x, w) = (random(dims, 1, &device), random(dims, 2, &device));
        let ours = results!(ours, x.clone(), w.clone());
        let theirs = results!(theirs, x, w);
        assert_close(&ours, &theirs, 2e-5);
    });
}

#[test]
fn every_rank() {
    compare([16, 5]);
    compare([4, 3, 7]);
    compare([3, 8, 6, 5]);
    compare([2, 3, 4, 3, 5]);
    compare([64, 17, 9, 9]);
}

#[test]
fn one_channel_one_sample_and_one_value() {
    compare([9, 1]);
    compare([1, 4, 5]);
    compare([1, 1, 3, 1]);
    // Burn's own layer gives β, and a variance of 0 to follow.
    let device = Device::flex().autodiff();
    let (ours, theirs) = layers(3, &device);
    let x = random([1, 3], 1, &device);
    let (y, expected) = (ours.forward(x.clone()), theirs.forward(x));
    y.into_data().assert_eq(&expected.into_data(), true);
    let (ours, theirs) = (
        ours.running_var.value_sync(),
        theirs.running_var.value_sync(),
    );
    ours.into_data().assert_eq(&theirs.into_data(), true);
}

#[test]
fn a_view_of_channels_last_is_read_and_answered_in_place() {
    let device = Device::flex().autodiff();
    in_both_modes(6, &device, |ours, theirs| {
        let last = random([4, 5, 7, 6], 1, &device);
        let view = || last.clone().permute([0, 3, 1, 2]);
        let w = random([4, 6, 5, 7], 2, &device);
        assert_close(
            &results!(ours, view(), w.clone()),
            &results!(theirs, view(), w),
            2e-5,
        );
    });
}

#[test]
fn every_other_view() {
    let device = Device::flex().autodiff();
    in_both_modes(4, &device, |ours, theirs| {
        let whole = random([6, 4, 5, 8], 1, &device);
        let views = [
            whole
                .clone()
                .swap_dims(2, 3)
                .slice([1..5, 0..4, 0..8, 0..5]),
            whole.clone().slice([1..5, 0..4, 0..5, 2..6]),
            whole.clone().flip([0, 3]),
            whole.slice([2..6, 0..4, 0..5, 0..8]),
        ];
        for view in views {
            let w = random(view.dims(), 2, &device);
            let ours = results!(ours, view.clone().detach(), w.clone());
            assert_close(&ours, &results!(theirs, view.detach(), w), 5e-5);
        }
    });
}

/// Beside burn's own layer in f64 on the same values: in the half types its own sums lose digits.
#[test]
fn every_type() {
    let half = [(DType::F16, 1e-3), (DType::BF16, 8e-3)];
    let types = [(DType::F64, 1e-13), (DType::F32, 2e-6)]
        .into_iter()
        .chain(half);
    let device = Device::flex().autodiff();
    for (dtype, tolerance) in types {
        in_both_modes(5, &device, |_, theirs| {
            // Rounded to the type, in whichever type it is then computed.
            let cast = |to: DType| {
                let rounded =
                    move |values: Tensor<1>| values.detach().cast(dtype).cast(to).detach();
                let mut layer = layer(5, &device);
                layer.gamma = layer.gamma.map(|values| rounded(values).require_grad());
                layer.beta = layer.beta.map(|values| rounded(values).require_grad());
                layer
                    .running_mean
                    .update(rounded(layer.running_mean.value_sync()));
                layer
                    .running_var
                    .update(rounded(layer.running_var.value_sync()));
                layer.running_mean.value_sync();
                layer.running_var.value_sync();
                layer.training = theirs.training.clone();
                layer
            };
            let values = |seed, to| {
                random([8, 5, 3, 4], seed, &device)
                    .cast(dtype)
                    .cast(to)
                    .detach()
            };
            let ours = BatchNorm::from(cast(dtype));
            let ours = results!(&ours, values(1, dtype), values(2, dtype));
            assert!(ours.0.iter().all(|values| values.dtype() == dtype));
            let exact = DType::F64;
            let theirs = results!(&cast(exact), values(1, exact), values(2, exact));
            assert_close(&ours, &theirs, tolerance);
        });
    }
}

#[test]
fn records_load_both_ways_bit_for_bit() {
    let device = Device::flex();
    let (ours, theirs) = layers(7, &device);
    let fields =
        |gamma: &Param<Tensor<1>>, mean: Tensor<1>| (gamma.val().into_data(), mean.into_data());
    let ours_after = BatchNormConfig::new(7)
        .init(&device)
        .load_record(theirs.clone().into_record());
    let theirs_after = burn::nn::BatchNormConfig::new(7)
        .init(&device)
        .load_record(ours.into_record());
    let expected = fields(&theirs.gamma, theirs.running_mean.value());
    assert_eq!(
        fields(&ours_after.gamma, ours_after.running_mean.value()),
        expected
    );
    assert_eq!(
        fields(&theirs_after.gamma, theirs_after.running_mean.value()),
        expected
    );
    let variance = theirs.running_var.value().into_data();
    assert_eq!(ours_after.running_var.value().into_data(), variance);
    assert_eq!(theirs_after.running_var.value().into_data(), variance);
}

#[test]
fn frozen_valid_and_partly_frozen_layers_behave_as_burns() {
    let device = Device::flex().autodiff();
    let (ours, theirs) = layers(3, &device);
    let x = random([5, 3, 4], 1, &device);
    let before = ours.running_mean.value_sync().into_data();
    let y = ours.clone().freeze().forward(x.clone()).into_data();
    let expected = theirs.clone().freeze().forward(x.clone()).into_data();
    y.assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-5));
    ours.running_mean
        .value_sync()
        .into_data()
        .assert_eq(&before, true);

    let inner = Device::flex();
    let y = ours
        .valid()
        .forward(random([5, 3, 4], 1, &inner))
        .into_data();
    y.assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-5));

    // Where γ alone is frozen, β and the statistics go on.
    let ours = ours.freeze_group(ParamGroup::from_path("gamma"));
    let gradients = ours.forward(x.clone().require_grad()).sum().backward();
    assert!(ours.gamma.grad(&gradients).is_none());
    assert!(ours.beta.grad(&gradients).is_some());
    assert_ne!(ours.running_mean.value_sync().into_data(), before);
}

#[test]
fn gradient_checkpointing_gives_the_same_gradients() {
    let device = Device::flex().autodiff();
    let checkpointing = Device::flex().autodiff().gradient_checkpointing();
    let run = |device: &Device| {
        let (ours, _) = layers(4, device);
        let x = random([6, 4, 3], 1, device).require_grad();
        // Cheap operations before it are computed again on the way back.
        let y = ours.forward(x.clone().mul_scalar(2.0).add_scalar(1.0));
        let gradients = (y * random([6, 4, 3], 2, device)).sum().backward();
        (
            x.grad(&gradients).unwrap().into_data(),
            ours.gamma.grad(&gradients).unwrap().into_data(),
        )
    };
    assert_eq!(run(&device), run(&checkpointing));
}

#[test]
#[expect(
    deprecated,
    reason = "it is the other backend that a processor alone can run"
)]
fn other_backends_go_burns_own_way() {
    let device = Device::ndarray().autodiff();
    in_both_modes(3, &device, |ours, theirs| {
        let (x, w) = (random([4, 3, 5], 1, &device), random([4, 3, 5], 2, &device));
        assert_close(
            &results!(ours, x.clone(), w.clone()),
            &results!(theirs, x, w),
            0.0,
        );
    });
}

#[test]
fn a_mean_that_is_large_beside_the_deviation_keeps_its_digits() {
    let device = Device::flex().autodiff();
    let x: Vec<f32> = (0..4096u16)
        .map(|i| 1e4 + f32::from(i % 7) * 1e-2)
        .collect();
    let exact: Vec<f64> = x.iter().copied().map(f64::from).collect();
    let mean = exact.iter().sum::<f64>() / 4096.0;
    let variance = exact
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / 4096.0;
    let layer = BatchNormConfig::new(1).init(&device);
    let y = layer.forward(Tensor::<2>::from_data(
        TensorData::new(x, [4096, 1]),
        &device,
    ));
    for (found, value) in y.into_data().iter::<f64>().zip(exact) {
        let expected = (value - mean) / (variance + 1e-5).sqrt();
        assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
    }
}

#[test]
#[should_panic(expected = "axis 1 expected 3, got 4")]
fn channels_on_another_axis_are_refused() {
    let layer = BatchNormConfig::new(3).init(&Device::flex());
    let _ = layer.forward(random([2, 4, 3], 1, &Device::flex()));
}

#[test]
fn it_displays_as_burns() {
    let (ours, theirs) = layers(3, &Device::flex());
    assert_eq!(ours.to_string(), theirs.to_string());
}
