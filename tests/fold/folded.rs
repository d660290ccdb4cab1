//! What folding gives.

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Compute, Cpu, DType, Element, Folded, Shape, Tensor,
};
use half::{bf16, f16};

use crate::bounds::{Bounds, absolute, unit_roundoff};
use crate::convolution::{BATCH, Convolution, LINEAR, product};
use crate::{Values, layer, widen};

fn fold<T: Element, C: Compute>(
    layer: &BatchNorm<Cpu, C>,
    convolution: &Convolution<'_>,
    weight: &[T],
    bias: Option<&[T]>,
) -> Folded<T> {
    let dims = convolution.weight_dims();
    if convolution.transposed {
        layer.fold_into_transposed_convolution(weight, &dims, convolution.groups, bias)
    } else if convolution.size.is_empty() {
        layer.fold_into_linear(weight, &dims, bias)
    } else {
        layer.fold_into_convolution(weight, &dims, bias)
    }
    .unwrap()
}

/// The folded convolution against the convolution and the layer after it, for weights of type `T`.
fn check<T: Element, C: Compute>(convolution: &Convolution<'_>, has_bias: bool) {
    let mut values = Values::new(convolution.outputs as u64 * 31 + convolution.groups as u64);
    let config = BatchNormConfig::new(convolution.outputs).epsilon(1e-3);
    let layer: BatchNorm<_, C> = layer(config, &mut values);
    let weight: Vec<T> = values.list(product(&convolution.weight_dims()), 0.25);
    let bias: Option<Vec<T>> = has_bias.then(|| values.list(convolution.outputs, 0.25));
    let x: Vec<f64> = values.list(BATCH * convolution.inputs * product(convolution.size), 0.0);

    let wide_bias = bias.as_deref().map(widen);
    let z = convolution.run(&x, &widen(&weight), wide_bias.as_deref());
    let dims = [
        &[BATCH, convolution.outputs],
        &convolution.output_size()[..],
    ]
    .concat();
    let rounded: Vec<C> = z.iter().map(|&z| C::from_f64(z)).collect();
    let shape = Shape::channels_first(&dims).unwrap();
    let z_tensor = Tensor::new(&Cpu::new(), shape, &rounded).unwrap();
    let expected = layer
        .forward_inference(&z_tensor)
        .unwrap()
        .to_vec()
        .unwrap();

    let folded = fold(&layer, convolution, &weight, bias.as_deref());
    let (weight, bias) = (widen(&folded.weight), widen(&folded.bias));
    let found = convolution.run(&x, &weight, Some(&bias));

    let alone = layer.scale_and_shift().unwrap();
    let (scale, shift) = (widen(&alone.scale), widen(&alone.shift));
    let spatial = product(&convolution.output_size());
    let of_layer = |(index, z): (usize, &f64)| {
        let c = index / spatial % convolution.outputs;
        (z * scale[c]).abs() + shift[c].abs() + 2.0
    };
    let bounds = Bounds {
        of_weights: convolution.run(&absolute(&x), &absolute(&weight), Some(&absolute(&bias))),
        of_layer: z.iter().enumerate().map(of_layer).collect(),
        sums_of_layer: 0.0,
    };
    bounds.check::<T, C>(convolution, &found, &widen(&expected));
}

fn check_all_types(convolution: &Convolution<'_>) {
    for has_bias in [true, false] {
        check::<f64, f64>(convolution, has_bias);
        check::<f32, f64>(convolution, has_bias);
        check::<f64, f32>(convolution, has_bias);
        check::<f32, f32>(convolution, has_bias);
        check::<bf16, f32>(convolution, has_bias);
        check::<f16, f32>(convolution, has_bias);
    }
}

#[test]
fn linear_layers_take_it_in() {
    check_all_types(&LINEAR);
    check_all_types(&Convolution {
        inputs: 1,
        outputs: 1,
        ..LINEAR
    });
}

#[test]
fn convolutions_take_it_in() {
    let flat = Convolution {
        inputs: 6,
        outputs: 9,
        size: &[7, 5],
        kernel: &[3, 2],
        stride: 2,
        padding: 1,
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
        size: &[11],
        kernel: &[4],
        ..flat
    });
    check_all_types(&Convolution {
        size: &[3, 4, 5],
        kernel: &[1, 2, 3],
        groups: 3,
        ..flat
    });
}

#[test]
fn transposed_convolutions_take_it_in() {
    let flat = Convolution {
        transposed: true,
        inputs: 6,
        outputs: 9,
        size: &[3, 4],
        kernel: &[3, 2],
        stride: 2,
        padding: 0,
        groups: 1,
    };
    check_all_types(&flat);
    check_all_types(&Convolution { groups: 3, ..flat });
    check_all_types(&Convolution {
        outputs: 12,
        groups: 6,
        padding: 1,
        kernel: &[3, 4],
        ..flat
    });
    check_all_types(&Convolution {
        size: &[5],
        kernel: &[4],
        groups: 3,
        ..flat
    });
    check_all_types(&Convolution {
        size: &[2, 3, 2],
        kernel: &[1, 2, 3],
        groups: 3,
        ..flat
    });
}

#[test]
fn scale_and_shift_are_the_nearest_to_the_formula() {
    let mut values = Values::new(5);
    for config in [
        BatchNormConfig::new(9),
        BatchNormConfig::new(9).gamma(false),
        BatchNormConfig::new(9)
            .beta(false)
            .activation(Activation::Relu),
    ] {
        let layer: BatchNorm<_> = layer(config, &mut values);
        let all = |array: Option<Vec<f32>>, none: f64| array.map_or(vec![none; 9], |a| widen(&a));
        let gamma = all(layer.gamma().map(|gamma| gamma.to_vec().unwrap()), 1.0);
        let beta = all(layer.beta().map(|beta| beta.to_vec().unwrap()), 0.0);
        let running = layer.running().unwrap();
        let (mean, variance) = (
            widen(&running.mean().to_vec().unwrap()),
            widen(&running.variance().to_vec().unwrap()),
        );
        let folded = layer.scale_and_shift().unwrap();
        for c in 0..9 {
            let scale = gamma[c] / (variance[c] + 1e-5).sqrt();
            let shift = beta[c] - mean[c] * scale;
            // Half a unit in the last place, and a little for the f64 arithmetic.
            let near = |found: f32, exact: f64| {
                (f64::from(found) - exact).abs() <= 1.0001 * unit_roundoff(DType::F32) * exact.abs()
            };
            assert!(near(folded.scale[c], scale), "{} {scale}", folded.scale[c]);
            assert!(near(folded.shift[c], shift), "{} {shift}", folded.shift[c]);
        }
    }
}

#[test]
fn folding_is_before_the_activation() {
    let config = BatchNormConfig::new(1)
        .epsilon(1.0)
        .activation(Activation::Relu);
    let mut layer: BatchNorm<_> = BatchNorm::new(&Cpu::new(), config).unwrap();
    layer.running_mut().unwrap().set(&[3.0], &[3.0], 1).unwrap();
    let folded = layer.fold_into_linear(&[2.0f32], &[1, 1], None).unwrap();
    assert_eq!(
        folded,
        Folded {
            weight: vec![1.0],
            bias: vec![-1.5]
        }
    );
}

#[test]
#[expect(clippy::float_cmp, reason = "these values are exact")]
fn half_weights_are_rounded_once() {
    let config = BatchNormConfig::new(1).epsilon(0.0);
    let mut layer: BatchNorm<_, f64> = BatchNorm::with_compute(&Cpu::new(), config).unwrap();
    // γ a little above the middle between two neighbours: the upper one is nearer.
    let mut fold = |gamma: f64| {
        layer.gamma_mut().unwrap().set(&[gamma]).unwrap();
        let layer = &layer;
        let half = layer
            .fold_into_linear(&[f16::ONE], &[1, 1], None)
            .unwrap()
            .weight[0]
            .to_f64();
        let brain = layer
            .fold_into_linear(&[bf16::ONE], &[1, 1], None)
            .unwrap()
            .weight[0]
            .to_f64();
        (half, brain)
    };
    let tiny = 2.0f64.powi(-40);
    assert_eq!(
        fold(1.0 + 2.0f64.powi(-11) + tiny).0,
        1.0 + 2.0f64.powi(-10)
    );
    assert_eq!(fold(1.0 + 2.0f64.powi(-8) + tiny).1, 1.0 + 2.0f64.powi(-7));
    assert_eq!(fold(1.0 + 2.0f64.powi(-11)).0, 1.0);
    assert_eq!(fold(1.0 + 2.0f64.powi(-8)).1, 1.0);
}

/// A constant channel of a layer without epsilon: inference gives β at the mean, and so does what is folded.
#[test]
#[expect(clippy::float_cmp, reason = "these values are exact")]
fn a_constant_channel_without_epsilon_stays_beta() {
    fn check<C: Compute>(gammas: &[f64]) {
        let config = BatchNormConfig::new(1).epsilon(0.0);
        let mut layer: BatchNorm<_, C> = BatchNorm::with_compute(&Cpu::new(), config).unwrap();
        let of = C::from_f64;
        layer
            .running_mut()
            .unwrap()
            .set(&[of(0.0)], &[of(0.0)], 1)
            .unwrap();
        layer.beta_mut().unwrap().set(&[of(-2.5)]).unwrap();
        for &gamma in gammas {
            layer.gamma_mut().unwrap().set(&[of(gamma)]).unwrap();
            let folded = layer.scale_and_shift().unwrap();
            assert_eq!(folded.shift[0].to_f64(), -2.5, "{gamma}");
            let weight = [of(0.0)];
            let folded = layer.fold_into_linear(&weight, &[1, 1], None).unwrap();
            assert_eq!(
                (folded.weight[0].to_f64(), folded.bias[0].to_f64()),
                (0.0, -2.5)
            );
        }
    }
    check::<f32>(&[1.0, 0.0, -3e38]);
    check::<f64>(&[1.0, 0.0, -1e300]);
}
