//! Tensors from vectors and arrays of `ndarray`, and back.

use batchnorm::{
    BatchNorm, BatchNormConfig, ChannelArray, Cpu, Device, Error, Layout, Shape, Tensor, View,
};
use ndarray::{Array, Array1, Array2, Array3, Array4, s};

use crate::{state, trained};

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
