//! What a pass is given, how, and what it keeps.

use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Device, Error, Shape, Tensor};
use contract_suite::layers::column;
use ndarray::{Array2, Array4, ArrayView2, array};

use crate::cpu;

#[test]
fn parameters_are_on_or_off_independently() {
    let x = column(&[1.0, 3.0, 8.0]);
    for (gamma, beta) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = BatchNormConfig::new(1).gamma(gamma).beta(beta);
        let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
        assert_eq!(
            (layer.gamma().is_some(), layer.beta().is_some()),
            (gamma, beta)
        );
        if let Some(gamma) = layer.gamma_mut() {
            gamma.set(&[2.0]).unwrap();
        }
        if let Some(beta) = layer.beta_mut() {
            beta.set(&[1.0]).unwrap();
        }
        let (y, pass) = layer.forward_training(&x).unwrap();
        let sum: f32 = y.to_vec().unwrap().iter().sum();
        assert!((sum - if beta { 3.0 } else { 0.0 }).abs() < 1e-5);
        let gradients = pass.backward(&x).unwrap();
        assert_eq!(
            (gradients.gamma.is_some(), gradients.beta.is_some()),
            (gamma, beta)
        );
    }
}

#[test]
fn a_pass_keeps_what_it_was_made_with() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    let (x, dy) = (column(&[1.0, 3.0, 8.0]), column(&[0.5, -1.0, 2.0]));
    let (_, pass) = layer.forward_training(&x).unwrap();
    let before = pass.backward(&dy).unwrap().input.to_vec().unwrap();
    layer.gamma_mut().unwrap().set(&[100.0]).unwrap();
    layer.forward_training(&dy).unwrap();
    assert_eq!(pass.backward(&dy).unwrap().input.to_vec().unwrap(), before);
}

#[test]
fn x_is_lent_given_or_shared() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    let dy = column(&[0.5, -1.0]);
    let lent = column(&[1.0, 3.0]);
    let a = layer
        .forward_training(&lent)
        .unwrap()
        .1
        .backward(&dy)
        .unwrap();
    let (_, pass) = layer.forward_training(column(&[1.0, 3.0])).unwrap();
    let b = pass.backward(&dy).unwrap();
    assert_eq!(pass.into_input().to_vec().unwrap(), [1.0, 3.0]);
    let shared = std::sync::Arc::new(column(&[1.0, 3.0]));
    let c = layer
        .forward_training(shared.clone())
        .unwrap()
        .1
        .backward(&dy)
        .unwrap();
    let [a, b, c] = [a, b, c].map(|gradients| gradients.input.to_vec().unwrap());
    assert!(a == b && b == c);
}

#[test]
fn arrays_are_used_in_place() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(3)).unwrap();
    // N, H, W, C in memory, seen as N, C, H, W: channels last by its strides.
    let image = Array4::from_shape_fn((2, 4, 5, 3), |(n, h, w, c)| {
        (n * 60 + h * 15 + w * 3 + c * 7) as f32 * 0.1
    });
    let x = image.view().permuted_axes([0, 3, 1, 2]);
    let mut y = Array4::<f32>::zeros((2, 4, 5, 3));
    let pass = layer
        .forward_training_into(x, None, &mut y.view_mut().permuted_axes([0, 3, 1, 2]))
        .unwrap();
    for c in 0..3 {
        let channel = y.slice(ndarray::s![.., .., .., c]);
        let (mean, count) = (channel.sum() / 40.0, channel.len());
        assert!(mean.abs() < 1e-5 && count == 40);
    }
    let mut gradient = Array4::<f32>::ones((2, 4, 5, 3));
    pass.backward_in_place(&mut gradient.view_mut().permuted_axes([0, 3, 1, 2]), None)
        .unwrap();
    assert!(gradient.iter().all(|dx| dx.abs() < 1e-6)); // a constant gradient is all mean
    let mut both = image.clone();
    let expected = layer.forward_inference(&x).unwrap().to_vec().unwrap();
    layer
        .forward_inference_in_place(&mut both.view_mut().permuted_axes([0, 3, 1, 2]), None)
        .unwrap();
    assert_eq!(both.as_slice().unwrap(), expected);
    // A channels-first output for a channels-last input is refused, not silently transposed.
    let mut other = Array4::<f32>::zeros((2, 3, 4, 5));
    let refused = layer.forward_inference_into(&x, None, &mut other);
    assert!(matches!(refused, Err(Error::ShapeMismatch { .. })));
    let strided = image.slice(ndarray::s![.., ..;2, .., ..]);
    assert!(matches!(
        layer.forward_inference(&strided.permuted_axes([0, 3, 1, 2])),
        Err(Error::Strides { .. })
    ));
}

#[test]
fn a_device_takes_arrays_too() {
    let mut layer =
        BatchNorm::with_compute(&Device::best_available(), BatchNormConfig::new(2)).unwrap();
    let x: Array2<f64> = array![[1.0, -2.0], [2.0, 0.0], [6.0, 5.0]];
    let (y, pass) = layer.forward_training(&x).unwrap();
    let y: Array2<f64> = Array2::from_shape_vec((3, 2), y.to_vec().unwrap()).unwrap();
    assert!(y.column(0).sum().abs() < 1e-12);
    let view: ArrayView2<f64> = x.view();
    assert_eq!(pass.backward(&view).unwrap().input.shape().dims(), [3, 2]);
}

#[test]
fn a_residual_is_added_before_the_activation() {
    let mut layer: BatchNorm<Cpu> =
        BatchNorm::new(&cpu(), BatchNormConfig::new(1).activation(Activation::Relu)).unwrap();
    let (x, skip) = (column(&[1.0, 3.0, 5.0]), column(&[10.0, -10.0, 0.0]));
    let (y, pass) = layer.forward_training_add(&x, &skip).unwrap();
    let y = y.to_vec().unwrap();
    assert!(y[0] > 8.0 && y[1] == 0.0 && y[2] > 1.0);
    let gradients = pass.backward(&column(&[1.0, 1.0, 1.0])).unwrap();
    assert_eq!(
        gradients.residual.unwrap().to_vec().unwrap(),
        [1.0, 0.0, 1.0]
    );
    let frozen = layer
        .forward_frozen_add(&x, &skip)
        .unwrap()
        .0
        .to_vec()
        .unwrap();
    assert_eq!(
        frozen,
        layer
            .forward_inference_add(&x, &skip)
            .unwrap()
            .to_vec()
            .unwrap()
    );
}

#[test]
fn more_spatial_dimensions_are_one() {
    let first = Shape::channels_first(&[2, 3, 1, 2, 2, 5]).unwrap();
    assert_eq!(first, Shape::channels_first(&[2, 3, 20]).unwrap());
    let last = Shape::channels_last(&[2, 1, 2, 1, 2, 5, 3]).unwrap();
    assert_eq!(last, Shape::channels_last(&[2, 20, 3]).unwrap());

    let values = |i: usize| (i * 7 % 11) as f32;
    let folded: Vec<f32> = (0..120).map(values).collect();
    let dims = ndarray::IxDyn(&[2, 3, 1, 2, 2, 5]);
    let x = ndarray::ArrayD::from_shape_vec(dims.clone(), folded.clone()).unwrap();
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(3)).unwrap();
    let mut y = ndarray::ArrayD::<f32>::zeros(dims);
    layer.forward_training_into(&x, None, &mut y).unwrap();
    let x = Tensor::new(&cpu(), first, &folded).unwrap();
    let (expected, _) = layer.forward_training(&x).unwrap();
    assert_eq!(y.as_slice().unwrap(), expected.to_vec().unwrap());
}
