//! What the types offer beside the passes: copies, printing, names, conversions.

use std::error::Error as _;

use batchnorm::{
    Activation, Averaging, BatchNorm, BatchNormConfig, ChannelArray, Cpu, Device, Error, Layout,
    PooledStatistics, RunningVariance, Shape, Tensor, View,
};
use ndarray::{Array, Array1, Array2, Array3, Array4, s};

fn trained() -> (BatchNorm<Cpu>, Tensor<f32, Cpu>) {
    let cpu = Cpu::new();
    let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(2)).unwrap();
    let shape = Shape::channels_first(&[3, 2]).unwrap();
    let x = Tensor::new(&cpu, shape, &[1.0f32, 7.0, 2.0, 5.0, 6.0, 3.0]).unwrap();
    layer.forward_training(&x).unwrap();
    (layer, x)
}

fn state(layer: &BatchNorm<Cpu>) -> [Vec<f32>; 4] {
    let running = layer.running().unwrap();
    let (gamma, beta) = (layer.gamma().unwrap(), layer.beta().unwrap());
    [gamma, beta, running.mean(), running.variance()].map(|array| array.to_vec().unwrap())
}

#[test]
fn a_clone_is_a_layer_of_its_own() {
    let (mut layer, x) = trained();
    let (copy, before) = (layer.clone(), state(&layer));
    assert_eq!(state(&copy), before);
    layer.gamma_mut().unwrap().set(&[5.0, 6.0]).unwrap();
    layer.forward_training(&x).unwrap();
    assert_ne!(state(&layer), before);
    assert_eq!(state(&copy), before);
    assert_eq!(copy.running().unwrap().num_batches_tracked(), 1);
    assert_eq!(layer.running().unwrap().num_batches_tracked(), 2);
}

#[test]
fn clones_of_tensors_and_statistics_share_no_memory() {
    let (layer, mut x) = trained();
    let statistics = layer.batch_statistics(&x).unwrap();
    let (copy, of_batch) = (x.clone(), statistics.clone());
    x.slice_mut().fill(0.0);
    assert_eq!(copy.to_vec().unwrap(), [1.0, 7.0, 2.0, 5.0, 6.0, 3.0]);
    assert_eq!(of_batch.mean().to_vec().unwrap(), [3.0, 5.0]);
    assert_ne!(
        of_batch.mean().slice().as_ptr(),
        statistics.mean().slice().as_ptr()
    );
    let device = Device::cpu();
    let on_device = Tensor::new(&device, copy.shape(), copy.slice()).unwrap();
    assert_eq!(on_device.clone().into_vec().unwrap(), copy.slice());
}

#[test]
fn debug_prints_shapes_and_no_values() {
    let (mut layer, x) = trained();
    assert_eq!(format!("{x:?}"), "Tensor(f32 [3, 2] channels first)");
    let beta = layer.beta().unwrap();
    assert_eq!(format!("{beta:?}"), "ChannelArray(f32 [2])");
    let (_, pass) = layer.forward_training(&x).unwrap();
    assert_eq!(
        format!("{pass:?}"),
        "Pass(f32 [3, 2] channels first, 1 group)"
    );
    let gradients = pass.backward(&x).unwrap();
    let said = format!("{layer:?} {gradients:?} {:?}", PooledStatistics::new(2));
    assert!(said.contains("PooledStatistics(2 channels of 0 values)"));
    for value in ["7.0", "6.0", "1.0"] {
        assert!(!said.contains(value), "{said}");
    }
}

#[test]
fn a_layer_is_displayed_as_its_settings() {
    let shown = |config| {
        BatchNorm::new(&Cpu::new(), config)
            .map(|layer| layer.to_string())
            .unwrap()
    };
    let plain = BatchNormConfig::new(64);
    assert_eq!(shown(plain), "BatchNorm(64, epsilon=1e-5, momentum=0.1)");
    let all = plain
        .epsilon(1e-3)
        .running_variance(RunningVariance::Population)
        .without_affine()
        .ghost_batch(16)
        .keep_running_finite(true)
        .activation(Activation::LeakyRelu { slope: 0.01 });
    assert_eq!(
        shown(all),
        "BatchNorm(64, epsilon=1e-3, momentum=0.1, running_variance=population, gamma=false, beta=false, \
         ghost_batch=16, keep_running_finite=true, leaky_relu(slope=0.01))"
    );
    let off = plain.averaging(Averaging::Off).activation(Activation::Silu);
    assert_eq!(
        shown(off),
        "BatchNorm(64, epsilon=1e-5, no running statistics, silu)"
    );
    let ends = [
        (Activation::Relu6, "relu6"),
        (Activation::Elu { alpha: 1.5 }, "elu(alpha=1.5)"),
        (Activation::Hardswish, "hardswish"),
        (Activation::Sigmoid, "sigmoid"),
        (Activation::Tanh, "tanh"),
        (Activation::Gelu, "gelu"),
        (Activation::GeluTanh, "gelu_tanh"),
    ];
    for (activation, end) in ends {
        let shown = shown(plain.activation(activation));
        assert!(shown.ends_with(&format!(", {end})")), "{shown}");
    }
}

#[test]
fn parameters_and_gradients_have_names_in_one_order() {
    let (mut layer, x) = trained();
    let (_, pass) = layer.forward_training(&x).unwrap();
    let gradients = pass.backward(&x).unwrap();
    let names = |names: &mut dyn Iterator<Item = &'static str>| names.collect::<Vec<_>>();
    let expected = ["gamma", "beta"];
    assert_eq!(names(&mut layer.parameters().map(|one| one.0)), expected);
    assert_eq!(
        names(&mut gradients.parameters().map(|one| one.0)),
        expected
    );
    let (_, dbeta) = gradients.parameters().last().unwrap();
    assert_eq!(dbeta.to_vec().unwrap(), [9.0, 15.0]);
    for (name, array) in layer.parameters_mut() {
        let value = if name == "gamma" { 2.0 } else { 3.0 };
        array.set(&[value; 2]).unwrap();
    }
    assert_eq!(state(&layer)[..2], [vec![2.0, 2.0], vec![3.0, 3.0]]);

    let only_beta = BatchNormConfig::new(2).gamma(false);
    let mut layer = BatchNorm::new(&Cpu::new(), only_beta).unwrap();
    assert_eq!(names(&mut layer.parameters().map(|one| one.0)), ["beta"]);
    assert_eq!(layer.parameters_mut().count(), 1);
}

#[test]
fn vectors_are_taken_over_and_given_back() {
    let shape = Shape::channels_first(&[2, 1]).unwrap();
    let values = vec![1.0f32, 2.0];
    let address = values.as_ptr();
    let tensor = Tensor::from_vec(&Cpu::new(), shape, values).unwrap();
    assert_eq!(tensor.slice().as_ptr(), address);
    let back: Vec<f32> = tensor.try_into().unwrap();
    assert_eq!((back.as_ptr(), back.as_slice()), (address, &[1.0, 2.0][..]));
    let short = Tensor::from_vec(&Cpu::new(), shape, vec![1.0f32]);
    let needed = Error::Length {
        what: "the data",
        found: 1,
        needed: 2,
    };
    assert_eq!(short.unwrap_err(), needed);

    let device = Device::cpu();
    let tensor = Tensor::from_vec(&device, shape, back).unwrap();
    let back = tensor.into_vec().unwrap();
    assert_eq!(back.as_ptr(), address);

    let (layer, _) = trained();
    let gamma: ChannelArray<f32, Cpu> = layer.gamma().unwrap().clone();
    let array: Array1<f32> = gamma.clone().try_into().unwrap();
    assert_eq!(array.to_vec(), Vec::try_from(gamma.clone()).unwrap());
    assert_eq!(gamma.into_vec().unwrap(), [1.0, 1.0]);
}

/// x(n, c, s) = 100n + 10c + s.
fn numbered() -> Array3<f32> {
    Array::from_shape_fn((2, 3, 4), |(n, c, s)| {
        f32::from(u8::try_from(100 * n + 10 * c + s).unwrap())
    })
}

#[test]
fn arrays_become_tensors_and_come_back_with_the_same_axes() {
    let first = numbered();
    let address = first.as_ptr();
    let tensor = Tensor::try_from(first.clone()).unwrap();
    assert_eq!(tensor.shape().layout(), Layout::ChannelsFirst);
    assert_eq!(Array3::try_from(tensor).unwrap(), first);

    let tensor = Tensor::try_from(first.permuted_axes([0, 2, 1])).unwrap();
    assert_eq!(tensor.shape().to_string(), "[2, 3, 4] channels last");
    assert_eq!(tensor.slice().as_ptr(), address);
    assert_eq!(tensor.slice()[..4], [0.0, 1.0, 2.0, 3.0]);
    let back: Array3<f32> = tensor.try_into().unwrap();
    assert_eq!(back, numbered().permuted_axes([0, 2, 1]));

    // A part of an array, in one run of memory and not.
    let sample = numbered().slice_move(s![1.., .., ..]);
    let tensor = Tensor::try_from(sample.clone()).unwrap();
    assert_eq!(tensor.slice().len(), 12);
    assert_eq!(Array3::try_from(tensor).unwrap(), sample);
    let strided = numbered().slice_move(s![.., .., ..;2]);
    let tensor = Tensor::try_from(strided.clone()).unwrap();
    assert_eq!(tensor.shape().to_string(), "[2, 3, 2] channels first");
    assert_eq!(Array3::try_from(tensor).unwrap(), strided);
    let view = Tensor::from_array(&Device::cpu(), &strided.slice(s![..;-1, .., ..])).unwrap();
    assert_eq!(view.into_array().unwrap()[[0, 2, 1]], 122.0);
}

#[test]
fn a_tensor_of_another_rank_is_no_array_of_it() {
    let tensor = Tensor::try_from(numbered()).unwrap();
    let refused = Array4::try_from(tensor).unwrap_err();
    assert!(
        matches!(refused, Error::Value { ref found, .. } if found == "4"),
        "{refused}"
    );
    let one_axis = Tensor::try_from(Array1::<f32>::zeros(3)).unwrap_err();
    assert!(matches!(one_axis, Error::Rank { found: 1, .. }));
}

#[test]
fn channels_on_another_axis_are_pointed_out() {
    let mut layer = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(3)).unwrap();
    let images = Array4::<f32>::zeros((2, 8, 8, 3));
    let refused = layer.forward_training(&images).unwrap_err();
    let expected = Error::ChannelAxis {
        shape: "[2, 8, 8, 3] channels first".to_owned(),
        axis: 3,
        found: 8,
        needed: 3,
    };
    assert_eq!(refused, expected);
    assert_eq!(layer.running().unwrap().num_batches_tracked(), 0);
    // The samples' axis is not meant.
    let other = Array2::<f32>::zeros((3, 8));
    let refused = layer.forward_training(&other).unwrap_err();
    assert!(matches!(
        refused,
        Error::Channels {
            found: 8,
            needed: 3
        }
    ));
}

#[test]
fn a_named_layout_is_what_the_axes_say() {
    let mut named = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(3)).unwrap();
    let mut logical = named.clone();
    let images = Array::from_shape_fn((2, 4, 5, 3), |(n, h, w, c)| {
        f32::from(u8::try_from(60 * n + 15 * h + 3 * w + c * c).unwrap())
    });
    let x = Layout::ChannelsLast.axes_of(&images).unwrap();
    let (y, _) = named.forward_training(&x).unwrap();
    let (expected, _) =
        (logical.forward_training(images.view().permuted_axes([0, 3, 1, 2]))).unwrap();
    assert_eq!(y.slice(), expected.slice());
    assert_eq!(state(&named), state(&logical));

    let mut y = Array4::<f32>::zeros((2, 4, 5, 3));
    let mut written = Layout::ChannelsLast.axes_of_mut(&mut y).unwrap();
    named
        .forward_inference_into(&x, None, &mut written)
        .unwrap();
    assert!(y.iter().any(|&value| value != 0.0));

    // Five channels were meant: the array's axes are not in the order that is named.
    let permuted = images.view().permuted_axes([0, 3, 1, 2]);
    let refused = Layout::ChannelsLast.axes_of::<Cpu, _, _>(&permuted);
    assert!(matches!(refused, Err(Error::Strides { .. })));

    // On a device that is the processor as well.
    let layer = BatchNorm::new(&Device::cpu(), BatchNormConfig::new(3)).unwrap();
    let x: View<'_, f32, Device> = Layout::ChannelsLast.axes_of(&images).unwrap();
    assert_eq!(layer.forward_inference(&x).unwrap().shape().channels(), 3);
}

#[test]
fn an_error_of_another_library_is_the_source() {
    let missing = batchnorm::checkpoint::read_file("no such file").unwrap_err();
    let io = missing.source().unwrap().downcast_ref::<std::io::Error>();
    assert_eq!(io.unwrap().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(missing.clone(), missing);

    let broken = batchnorm::checkpoint::parse(b"12345678{}").unwrap_err();
    let source = broken.source().unwrap();
    assert!(source.is::<batchnorm::safetensors::SafeTensorError>());
    assert!(Cpu::with_threads(0).unwrap_err().source().is_none());
}

#[cfg(feature = "serde")]
#[test]
fn configurations_are_read_and_written() {
    let all = BatchNormConfig::new(8)
        .epsilon(1e-3)
        .averaging(Averaging::Cumulative)
        .running_variance(RunningVariance::Population)
        .beta(false)
        .activation(Activation::LeakyRelu { slope: 0.5 })
        .ghost_batch(4);
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(
        text,
        r#"{"channels":8,"epsilon":0.001,"averaging":"cumulative","running_variance":"population","gamma":true,"beta":false,"activation":{"leaky_relu":{"slope":0.5}},"ghost_batch":4,"keep_running_finite":false}"#
    );
    let read = |text: &str| serde_json::from_str::<BatchNormConfig>(text);
    assert_eq!(read(&text).unwrap(), all);
    assert_eq!(read(r#"{"channels":8}"#).unwrap(), BatchNormConfig::new(8));
    let names = [
        (Activation::Relu6, r#""relu6""#),
        (Activation::Elu { alpha: 0.5 }, r#"{"elu":{"alpha":0.5}}"#),
        (Activation::Hardswish, r#""hardswish""#),
        (Activation::Sigmoid, r#""sigmoid""#),
        (Activation::Tanh, r#""tanh""#),
        (Activation::Gelu, r#""gelu""#),
        (Activation::GeluTanh, r#""gelu_tanh""#),
    ];
    for (activation, name) in names {
        assert_eq!(serde_json::to_string(&activation).unwrap(), name);
        assert_eq!(
            serde_json::from_str::<Activation>(name).unwrap(),
            activation
        );
    }
    for refused in ["{}", r#"{"channels":8,"eps":0.1}"#, r#"{"channels":-8}"#] {
        assert!(read(refused).is_err(), "{refused}");
    }
}
