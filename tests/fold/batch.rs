//! Folding with a batch's statistics: a training pass, by a weight that does not jump.

use batchnorm::{
    BatchNorm, BatchNormConfig, BatchStatistics, Compute, Cpu, Element, Error, FoldedBatch, Shape,
    Tensor,
};
use half::{bf16, f16};

use crate::bounds::{Bounds, absolute};
use crate::convolution::{BATCH, Convolution, LINEAR, product};
use crate::{Values, layer, widen};

type Statistics<C> = BatchStatistics<C, Cpu>;

fn fold<T: Element, C: Compute>(
    layer: &BatchNorm<Cpu, C>,
    convolution: &Convolution<'_>,
    weight: &[T],
    bias: Option<&[T]>,
    batch: &Statistics<C>,
) -> FoldedBatch<T, C> {
    let (dims, groups) = (convolution.weight_dims(), convolution.groups);
    let (plain, folded) = if convolution.transposed {
        let plain = layer.fold_into_transposed_convolution(weight, &dims, groups, bias);
        let folded =
            layer.fold_batch_into_transposed_convolution(weight, &dims, groups, bias, batch);
        (plain, folded)
    } else if convolution.size.is_empty() {
        let plain = layer.fold_into_linear(weight, &dims, bias);
        let folded = layer.fold_batch_into_linear(weight, &dims, bias, batch);
        (plain, folded)
    } else {
        let plain = layer.fold_into_convolution(weight, &dims, bias);
        let folded = layer.fold_batch_into_convolution(weight, &dims, bias, batch);
        (plain, folded)
    };
    let (plain, folded) = (plain.unwrap(), folded.unwrap());
    assert_eq!(plain.weight, folded.weight);
    folded
}

/// The folded convolution, corrected, against the convolution and a training pass of the layer after it.
fn check<T: Element, C: Compute>(convolution: &Convolution<'_>, has_bias: bool) {
    let mut values = Values::new(convolution.outputs as u64 * 41 + convolution.groups as u64);
    let config = BatchNormConfig::new(convolution.outputs).epsilon(1e-1);
    let layer: BatchNorm<_, C> = layer(config, &mut values);
    let weight: Vec<T> = values.list(product(&convolution.weight_dims()), 0.25);
    let bias: Option<Vec<T>> = has_bias.then(|| values.list(convolution.outputs, 0.25));
    let x: Vec<f64> = values.list(BATCH * convolution.inputs * product(convolution.size), 0.0);

    let wide_bias = bias.as_deref().map(widen);
    let tensor = |values: &[f64]| {
        let values: Vec<C> = values.iter().map(|&z| C::from_f64(z)).collect();
        let dims = [
            &[BATCH, convolution.outputs],
            &convolution.output_size()[..],
        ];
        let shape = Shape::channels_first(&dims.concat()).unwrap();
        Tensor::new(&Cpu::new(), shape, &values).unwrap()
    };
    let z = convolution.run(&x, &widen(&weight), wide_bias.as_deref());
    let (expected, _) = layer.forward_training_deferred(&tensor(&z)).unwrap();
    // The statistics are of what the weight alone gives: a bias moves the mean, as it moves what the mean is taken from.
    let batch = layer.batch_statistics(&tensor(&z)).unwrap();

    let folded = fold(&layer, convolution, &weight, bias.as_deref(), &batch);
    let (weight, bias) = (widen(&folded.weight), widen(&folded.bias));
    let correction = widen(&folded.correction);
    let spatial = product(&convolution.output_size());
    let channel = |index: usize| index / spatial % convolution.outputs;
    let corrected = |x: &[f64], weight: &[f64], bias: &[f64]| -> Vec<f64> {
        let of_weight = convolution.run(x, weight, None);
        let corrected = of_weight.iter().enumerate();
        corrected
            .map(|(i, value)| value / correction[channel(i)] + bias[channel(i)])
            .collect()
    };
    let found = corrected(&x, &weight, &bias);
    let sizes = corrected(&absolute(&x), &absolute(&weight), &absolute(&bias));
    let bounds = Bounds {
        // The correction is rounded as well, to the layer's type.
        of_layer: sizes.iter().map(|size| size + 2.0).collect(),
        of_weights: sizes,
        sums_of_layer: 0.0,
    };
    bounds.check::<T, C>(convolution, &found, &widen(&expected.to_vec().unwrap()));
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
fn a_corrected_fold_is_a_training_pass() {
    check_all_types(&LINEAR);
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
        transposed: true,
        groups: 3,
        padding: 0,
        ..flat
    });
}

#[test]
fn statistics_that_do_not_fit_are_refused() {
    let cpu = Cpu::new();
    let layer: BatchNorm<_> = BatchNorm::new(&cpu, BatchNormConfig::new(2)).unwrap();
    let statistics = |dims: &[usize], value: f32| {
        let config = BatchNormConfig::new(dims[1]);
        let shape = Shape::channels_first(dims).unwrap();
        let x = Tensor::new(&cpu, shape, &vec![value; shape.len()]).unwrap();
        let layer: BatchNorm<_> = BatchNorm::new(&cpu, config).unwrap();
        layer.batch_statistics(&x).unwrap()
    };
    let fold = |layer: &BatchNorm<Cpu>, batch: &Statistics<f32>| {
        layer.fold_batch_into_linear(&[1.0f32; 6], &[2, 3], None, batch)
    };
    assert!(matches!(
        fold(&layer, &statistics(&[4, 3], 1.0)),
        Err(Error::Channels {
            found: 3,
            needed: 2
        })
    ));
    assert!(matches!(
        fold(&layer, &statistics(&[1, 2], 1.0)),
        Err(Error::TooFewValues { found: 1, .. })
    ));
    let error = fold(&layer, &statistics(&[4, 2], f32::INFINITY)).unwrap_err();
    let said = error.to_string();
    assert!(
        said.contains("NaN in channel 0") && said.contains("above zero"),
        "{said}"
    );
    let without_epsilon = BatchNorm::new(&cpu, BatchNormConfig::new(2).epsilon(0.0)).unwrap();
    assert!(matches!(
        fold(&without_epsilon, &statistics(&[4, 2], 1.0)),
        Err(Error::Epsilon { .. })
    ));
    let (good, weight) = (statistics(&[4, 2], 1.0), [1.0f32; 6]);
    assert!(matches!(
        layer.fold_batch_into_linear(&weight, &[3, 2], None, &good),
        Err(Error::WeightDimensions { .. })
    ));
    assert!(matches!(
        layer.fold_batch_into_convolution(&weight, &[2, 3, 1], Some(&weight), &good),
        Err(Error::Length { .. })
    ));
    assert!(matches!(
        layer.fold_batch_into_transposed_convolution(&weight, &[3, 1, 2], 2, None, &good),
        Err(Error::WeightDimensions { .. })
    ));
}

/// A constant batch: the correction is as small as ε makes it, and what is folded gives β.
#[test]
fn a_constant_batch_gives_beta() {
    let cpu = Cpu::new();
    let mut layer: BatchNorm<_> = BatchNorm::new(&cpu, BatchNormConfig::new(1)).unwrap();
    layer.beta_mut().unwrap().set(&[-2.5]).unwrap();
    let shape = Shape::channels_first(&[3, 1]).unwrap();
    let z = Tensor::new(&cpu, shape, &[6.0f32; 3]).unwrap();
    let batch = layer.batch_statistics(&z).unwrap();
    let folded = layer
        .fold_batch_into_linear(&[2.0f32], &[1, 1], None, &batch)
        .unwrap();
    let y = folded.weight[0] * 3.0 / folded.correction[0] + folded.bias[0];
    assert!((folded.correction[0] - 1e-5f32.sqrt()).abs() < 1e-6);
    // β is what is left of two numbers of 6/sqrt(ε).
    assert!((y + 2.5).abs() < 2.0 * f32::EPSILON * 1900.0, "{y}");
}
