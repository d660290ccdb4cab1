//! What folding into the layer after gives, and what cannot be.

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Compute, Cpu, Element, Error, Folded, ScaleAndShift,
    Shape, Tensor,
};
use half::{bf16, f16};

use crate::bounds::{Bounds, absolute};
use crate::convolution::{BATCH, Convolution, LINEAR, product};
use crate::{Values, layer, widen};

fn fold<T: Element, C: Compute>(
    layer: &BatchNorm<Cpu, C>,
    convolution: &Convolution<'_>,
    weight: &[T],
    bias: Option<&[T]>,
) -> Folded<T> {
    let dims = convolution.weight_dims();
    if convolution.size.is_empty() {
        layer.fold_into_following_linear(weight, &dims, bias)
    } else {
        layer.fold_into_following_convolution(weight, &dims, convolution.groups, bias)
    }
    .unwrap()
}

/// The folded convolution of x against the layer and the convolution after it, for weights of type `T`.
fn check<T: Element, C: Compute>(convolution: &Convolution<'_>, has_bias: bool) {
    let mut values = Values::new(convolution.inputs as u64 * 37 + convolution.groups as u64);
    let config = BatchNormConfig::new(convolution.inputs).epsilon(1e-3);
    let layer: BatchNorm<_, C> = layer(config, &mut values);
    let weight: Vec<T> = values.list(product(&convolution.weight_dims()), 0.25);
    let bias: Option<Vec<T>> = has_bias.then(|| values.list(convolution.outputs, 0.25));
    let dims = [&[BATCH, convolution.inputs], convolution.size].concat();
    let x: Vec<C> = values.list(product(&dims), 0.0);
    let shape = Shape::channels_first(&dims).unwrap();
    let between = Tensor::new(&Cpu::new(), shape, &x).unwrap();
    let between = layer.forward_inference(&between).unwrap().to_vec().unwrap();
    let (wide, wide_bias) = (widen(&weight), bias.as_deref().map(widen));
    let expected = convolution.run(&widen(&between), &wide, wide_bias.as_deref());

    let folded = fold(&layer, convolution, &weight, bias.as_deref());
    assert_eq!(folded.weight.len(), weight.len());
    let (of_x, bias) = (widen(&folded.weight), widen(&folded.bias));
    let found = convolution.run(&widen(&x), &of_x, Some(&bias));

    let alone = layer.scale_and_shift().unwrap();
    let spatial = product(convolution.size);
    let of_layer = |(i, x): (usize, &C)| {
        let c = i / spatial % convolution.inputs;
        (x.to_f64() * alone.scale[c].to_f64()).abs() + alone.shift[c].to_f64().abs() + 2.0
    };
    let of_layer: Vec<f64> = x.iter().enumerate().map(of_layer).collect();
    let bounds = Bounds {
        of_weights: convolution.run(
            &absolute(&widen(&x)),
            &absolute(&of_x),
            Some(&absolute(&bias)),
        ),
        of_layer: convolution.run(&of_layer, &absolute(&wide), None),
        sums_of_layer: 100.0 * f64::EPSILON,
    };
    bounds.check::<T, C>(convolution, &found, &expected);
}

fn check_all_types(convolution: &Convolution<'_>) {
    for has_bias in [true, false] {
        check::<f64, f64>(convolution, has_bias);
        check::<f32, f64>(convolution, has_bias);
        check::<f32, f32>(convolution, has_bias);
        check::<bf16, f32>(convolution, has_bias);
        check::<f16, f32>(convolution, has_bias);
    }
}

#[test]
fn linear_layers_take_in_what_is_before_them() {
    check_all_types(&LINEAR);
    check_all_types(&Convolution {
        inputs: 1,
        outputs: 1,
        ..LINEAR
    });
}

#[test]
fn convolutions_take_in_what_is_before_them() {
    let flat = Convolution {
        inputs: 6,
        outputs: 9,
        size: &[7, 5],
        kernel: &[3, 2],
        stride: 2,
        ..LINEAR
    };
    check_all_types(&flat);
    check_all_types(&Convolution { groups: 3, ..flat });
    check_all_types(&Convolution {
        outputs: 12,
        groups: 6,
        ..flat
    });
    check_all_types(&Convolution {
        size: &[3, 4, 5],
        kernel: &[1, 2, 3],
        groups: 3,
        ..flat
    });
}

/// As the documentation says of padding with zeros: what x is padded with is the x whose y is zero.
#[test]
fn zeros_around_y_are_other_values_around_x() {
    let mut values = Values::new(3);
    let layer: BatchNorm<_> = layer(BatchNormConfig::new(1), &mut values);
    let alone = layer.scale_and_shift().unwrap();
    let folded = layer
        .fold_into_following_convolution(&[1.0f32, 2.0], &[1, 1, 2], 1, None)
        .unwrap();
    let x = -alone.shift[0] / alone.scale[0];
    let found = folded.weight[0] * x + folded.weight[1] * x + folded.bias[0];
    let size = (folded.weight[1] * x).abs() + folded.bias[0].abs();
    assert!(found.abs() <= 4.0 * f32::EPSILON * size, "{found}");
    assert!(folded.bias[0].abs() > 0.01, "the example shows nothing");
}

/// A convolution that pads y with zeros is one that pads x with what the layer makes zeros of.
#[test]
fn padding_x_with_the_layers_zeros_is_exact_at_borders() {
    let mut values = Values::new(29);
    let layer: BatchNorm<_> = layer(BatchNormConfig::new(4).epsilon(1e-3), &mut values);
    let around_y = Convolution {
        inputs: 4,
        outputs: 6,
        groups: 2,
        size: &[5, 3],
        kernel: &[3, 3],
        padding: 1,
        ..LINEAR
    };
    let around_x = Convolution {
        size: &[7, 5],
        padding: 0,
        ..around_y
    };
    let weight: Vec<f32> = values.list(product(&around_y.weight_dims()), 0.25);
    let x: Vec<f32> = values.list(BATCH * 4 * 15, 0.0);
    let shape = Shape::channels_first(&[BATCH, 4, 5, 3]).unwrap();
    let x_tensor = Tensor::new(&Cpu::new(), shape, &x).unwrap();
    let y = layer
        .forward_inference(&x_tensor)
        .unwrap()
        .to_vec()
        .unwrap();
    let expected = around_y.run(&widen(&y), &widen(&weight), None);

    let padding = layer.scale_and_shift().unwrap().padding().unwrap();
    let mut padded: Vec<f64> = (0..BATCH * 4 * 35)
        .map(|i| f64::from(padding[i / 35 % 4]))
        .collect();
    for (i, &x) in x.iter().enumerate() {
        let (plane, row, column) = (i / 15, i / 3 % 5, i % 3);
        padded[plane * 35 + (row + 1) * 5 + column + 1] = f64::from(x);
    }
    let folded = fold(&layer, &around_x, &weight, None);
    let found = around_x.run(&padded, &widen(&folded.weight), Some(&widen(&folded.bias)));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
    // Padding x with zeros is something else.
    let wrong = around_y.run(
        &widen(&x),
        &widen(&folded.weight),
        Some(&widen(&folded.bias)),
    );
    let off = |(found, expected): (&f64, &f64)| (found - expected).abs();
    let most = wrong.iter().zip(&expected).map(off).fold(0.0, f64::max);
    assert!(most > 0.1, "{most}");
}

#[test]
fn what_no_x_is_zero_for_has_no_padding() {
    let of = |scale: f32, shift: f32| ScaleAndShift {
        scale: vec![1.0, scale],
        shift: vec![0.0, shift],
    };
    assert_eq!(of(0.0, 0.0).padding().unwrap(), [0.0, 0.0]);
    for (scale, shift) in [
        (0.0, 1.0),
        (f32::NAN, 0.0),
        (1.0, f32::INFINITY),
        (1e-30, 1e30),
    ] {
        let error = of(scale, shift).padding().unwrap_err().to_string();
        assert!(error.contains("in channel 1"), "{error}");
    }
    let uneven = ScaleAndShift {
        scale: vec![1.0f32; 2],
        shift: vec![1.0; 3],
    };
    assert!(matches!(uneven.padding(), Err(Error::Length { .. })));
}

#[test]
fn what_does_not_fit_is_refused() {
    let layer: BatchNorm<_> = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(4)).unwrap();
    let weight = vec![1.0f32; 48];
    for dims in [&[4, 12][..], &[], &[48], &[0, 4], &[12, 4, 1]] {
        let error = layer.fold_into_following_linear(&weight, dims, None);
        assert!(
            matches!(error, Err(Error::WeightDimensions { .. })),
            "{dims:?}"
        );
    }
    for (dims, groups) in [
        (&[6, 4, 2][..], 0),
        (&[6, 4, 2], 2),
        (&[6, 2, 4], 4),
        (&[3, 2, 8], 2),
        (&[12, 4], 1),
        (&[0, 4, 2], 1),
    ] {
        let error = layer.fold_into_following_convolution(&weight, dims, groups, None);
        assert!(
            matches!(error, Err(Error::WeightDimensions { .. })),
            "{dims:?} {groups}"
        );
    }
    let length = layer.fold_into_following_linear(&weight, &[11, 4], None);
    assert!(matches!(length, Err(Error::Length { .. })));
    let bias = layer.fold_into_following_linear(&weight, &[12, 4], Some(&weight[..4]));
    assert!(matches!(bias, Err(Error::Length { .. })));
    let overflow = layer.fold_into_following_convolution(&weight, &[usize::MAX, 4, 2], 1, None);
    assert!(matches!(overflow, Err(Error::ShapeOverflow { .. })));
}

#[test]
fn an_activation_between_is_refused() {
    let config = BatchNormConfig::new(1).activation(Activation::Relu);
    let layer: BatchNorm<_> = BatchNorm::new(&Cpu::new(), config).unwrap();
    let error = layer
        .fold_into_following_linear(&[1.0f32], &[1, 1], None)
        .unwrap_err();
    let expected =
        "relu lies between this layer and the one after it, into which it cannot be folded";
    assert_eq!(error.to_string(), expected);
}
