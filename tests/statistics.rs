//! Statistics that are refused, alike at every door by which they enter a layer.

use batchnorm::backend::{
    ActivationBackward, Backend, GradientSums, InOut, Normalization, RunningMut, Statistics,
};
use batchnorm::{
    Activation, Averaging, BatchNorm, BatchNormConfig, BatchStatistics, Cpu, Error, FlaxParameters,
    KerasParameters, OnnxParameters, PooledStatistics, RunningVariance, Shape, Tensor,
};
use contract_suite::layers::{column, running};

fn cpu() -> Cpu {
    Cpu::with_threads(1).unwrap()
}

fn layer(channels: usize) -> BatchNorm<Cpu> {
    BatchNorm::new(&cpu(), BatchNormConfig::new(channels)).unwrap()
}

fn statistics(values: &[f32]) -> BatchStatistics<f32, Cpu> {
    layer(1).batch_statistics(&column(values)).unwrap()
}

fn pooled(values: &[f32]) -> PooledStatistics {
    let mut pooled = PooledStatistics::new(1);
    pooled.add(&statistics(values)).unwrap();
    pooled
}

const NO_VARIANCES: [f32; 4] = [-1.0, -1e-6, f32::NEG_INFINITY, f32::NAN];

#[test]
fn a_variance_that_is_none_is_not_set() {
    for wrong in NO_VARIANCES {
        let mut layer = layer(3);
        let before = running(&layer);
        let error = layer
            .running_mut()
            .unwrap()
            .set(&[1.0; 3], &[0.0, f32::INFINITY, wrong], 7)
            .unwrap_err();
        let said = format!("{wrong:?} in channel 2");
        assert!(error.to_string().contains(&said), "{error}");
        assert_eq!(running(&layer), before);
    }
}

#[test]
fn a_variance_that_is_none_is_not_converted() {
    for wrong in NO_VARIANCES {
        let (mean, variance) = (vec![0.0], vec![wrong]);
        let keras = KerasParameters {
            gamma: None,
            beta: None,
            moving_mean: mean.clone(),
            moving_variance: variance.clone(),
            momentum: 0.9,
            epsilon: 1e-3,
        };
        let flax = FlaxParameters {
            scale: None,
            bias: None,
            mean: mean.clone(),
            var: variance.clone(),
            momentum: 0.9,
            epsilon: 1e-3,
        };
        let onnx = OnnxParameters {
            scale: vec![1.0],
            b: vec![0.0],
            input_mean: mean,
            input_var: variance,
            momentum: 0.9,
            epsilon: 1e-3,
        };
        for made in [
            BatchNorm::from_keras(&cpu(), &keras),
            BatchNorm::from_flax(&cpu(), &flax),
            BatchNorm::from_onnx(&cpu(), &onnx),
        ] {
            assert!(matches!(made, Err(Error::Value { .. })));
        }
    }
}

#[test]
fn a_poisoned_variance_is_not_folded() {
    let mut layer = layer(1);
    layer.forward_training(&column(&[1.0, f32::NAN])).unwrap();
    let errors = [
        layer.scale_and_shift().unwrap_err(),
        layer
            .fold_into_convolution(&[1.0f32], &[1, 1, 1], None)
            .unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().contains("NaN in channel 0"), "{error}");
    }
}

#[test]
fn one_value_per_channel_has_no_variance_to_follow() {
    let one = [
        statistics(&[3.0]),
        pooled(&[3.0]).to_batch(&cpu(), 1e-5).unwrap(),
    ];
    for estimate in [RunningVariance::Unbiased, RunningVariance::Population] {
        let config = BatchNormConfig::new(1).running_variance(estimate);
        let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
        for one in &one {
            let refused = layer.follow(one);
            assert!(matches!(refused, Err(Error::TooFewValues { found: 1, .. })));
        }
        let refused = layer.follow(&[statistics(&[1.0, 2.0]), statistics(&[3.0])]);
        assert!(matches!(refused, Err(Error::TooFewValues { .. })));
        assert_eq!(running(&layer), (vec![0.0], vec![1.0], 0));
    }
}

#[test]
fn an_empty_pool_has_neither_mean_nor_variance() {
    let empty = PooledStatistics::new(1);
    assert!(matches!(
        empty.mean(),
        Err(Error::TooFewValues { found: 0, .. })
    ));
    assert!(matches!(
        empty.variance().map(drop),
        Err(Error::TooFewValues { found: 0, .. })
    ));
    let one = pooled(&[3.0]);
    assert_eq!(one.mean().unwrap(), [3.0]);
    assert_eq!(one.variance().unwrap().collect::<Vec<_>>(), [0.0]);
}

#[test]
fn a_pool_becomes_a_batch_of_an_epsilon_above_zero_only() {
    let pool = pooled(&[1.0, 3.0]);
    for epsilon in [-1.0, 0.0, f64::NAN, f64::INFINITY] {
        let refused = pool.to_batch::<f32, _>(&cpu(), epsilon);
        assert!(matches!(refused, Err(Error::Epsilon { .. })), "{epsilon}");
    }
    let batch: BatchStatistics<f32, Cpu> = pool.to_batch(&cpu(), 3.0).unwrap();
    assert_eq!(batch.inv_std().to_vec().unwrap(), [0.5]);
}

#[test]
fn a_pool_of_a_nan_is_not_adopted() {
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut layer = layer(1);
        let refused = layer
            .running_mut()
            .unwrap()
            .adopt(&pooled(&[1.0, wrong]), RunningVariance::Unbiased);
        assert!(matches!(refused, Err(Error::Value { .. })), "{refused:?}");
        assert_eq!(running(&layer), (vec![0.0], vec![1.0], 0));
    }
    // Finite in its parts, and no longer together.
    let part = |mean| PooledStatistics::from_parts(2, &[mean], &[1.0]).unwrap();
    let mut apart = part(1e308);
    apart.merge(&[part(-1e308)]).unwrap();
    let mut layer = BatchNorm::<_, f64>::with_compute(&cpu(), BatchNormConfig::new(1)).unwrap();
    let adopting = layer.running_mut().unwrap();
    let refused = adopting.adopt(&apart, RunningVariance::Unbiased);
    assert!(matches!(refused, Err(Error::Value { .. })), "{refused:?}");
    let refused = PooledStatistics::from_parts(1 << 51, &[0.0], &[1e308]);
    assert!(matches!(refused, Err(Error::Value { .. })), "{refused:?}");
}

#[test]
fn a_pool_of_values_beyond_the_layer_s_type_is_not_adopted() {
    for (mean, variance, named) in [
        ([0.0, -1e39], [1.0, 1.0], "a running mean"),
        ([0.0, 0.0], [1.0, 1e39], "a running variance"),
    ] {
        let pool = PooledStatistics::from_parts(8, &mean, &variance).unwrap();
        let mut narrow = layer(2);
        let refused = (narrow.running_mut().unwrap())
            .adopt(&pool, RunningVariance::Population)
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains(named) && refused.contains("1e39 in channel 1"),
            "{refused}"
        );
        assert_eq!(running(&narrow), (vec![0.0; 2], vec![1.0; 2], 0));
        let mut wide = BatchNorm::<_, f64>::with_compute(&cpu(), BatchNormConfig::new(2)).unwrap();
        (wide.running_mut().unwrap())
            .adopt(&pool, RunningVariance::Population)
            .unwrap();
        assert_eq!(wide.running().unwrap().mean().to_vec().unwrap(), mean);
    }
}

#[test]
fn a_step_refuses_numbers_that_leave_no_statistics() {
    let one = [1.0f32];
    let follow = |factor, correction| {
        let batch = Statistics {
            mean: &one[..],
            mean_low: &[0.0],
            variance: &one,
            inv_std: &one,
        };
        let (mut mean, mut variance) = ([5.0], [6.0]);
        let running = RunningMut {
            mean: &mut mean[..],
            variance: &mut variance,
            factor,
            correction,
            only_finite: false,
        };
        let result = cpu().update_running::<f32>(batch, running);
        if result.is_err() {
            assert_eq!((mean, variance), ([5.0], [6.0]));
        }
        result
    };
    assert_eq!(follow(1.0, 1.0), Ok(()));
    for factor in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(follow(factor, 1.0), Err(Error::Momentum { .. })));
    }
    for correction in [-1.0, f64::INFINITY, f64::NAN] {
        let refused = follow(0.5, correction);
        assert!(matches!(refused, Err(Error::Value { .. })));
    }
}

#[test]
fn sums_of_no_values_make_no_gradient() {
    let input = |count, dims: &[usize]| {
        let shape = Shape::channels_first(dims).unwrap();
        let values = vec![1.0f32; shape.len()];
        let mut dx = values.clone();
        let one = &[1.0f32][..];
        let with = Normalization {
            mean: one,
            mean_low: &[0.0],
            inv_std: one,
            gamma: one,
            beta: one,
        };
        let sums = GradientSums {
            gamma: one,
            beta: one,
            count,
        };
        let (dy_to_dx, activation) = (
            InOut::Separate(&values[..], &mut dx[..]),
            ActivationBackward::of(Activation::None),
        );
        cpu().backward_input::<f32>(
            &shape,
            dy_to_dx,
            &values,
            with,
            activation,
            Some(sums),
            None,
        )
    };
    assert!(matches!(input(0, &[2, 1]), Err(Error::Value { .. })));
    assert_eq!(input(2, &[2, 1]), Ok(()));
    assert_eq!(input(0, &[0, 1]), Ok(()));
}

#[test]
fn running_statistics_are_kept_finite_on_request() {
    // Two channels; the second is finite, then overflows when the variance is made unbiased, then is finite again.
    let batches = [
        [1.0, f32::NAN, 3.0, 2.0],
        [f32::INFINITY, 1.0, 3.0, 3.0],
        [1.0, 2.4e19, 3.0, -2.4e19],
        [1.0, 5.0, 3.0, 7.0],
    ];
    for ghost_batch in [usize::MAX, 2] {
        let config = BatchNormConfig::new(2)
            .momentum(0.5)
            .ghost_batch(ghost_batch);
        let shape = Shape::channels_first(&[2, 2]).unwrap();
        let mut kept: BatchNorm<Cpu> =
            BatchNorm::new(&cpu(), config.keep_running_finite(true)).unwrap();
        let mut deferred: BatchNorm<Cpu> =
            BatchNorm::new(&cpu(), config.keep_running_finite(true)).unwrap();
        let mut plain: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
        for batch in batches {
            let x = Tensor::new(&cpu(), shape, &batch).unwrap();
            kept.forward_training(&x).unwrap();
            plain.forward_training(&x).unwrap();
            let (_, pass) = deferred.forward_training_deferred(&x).unwrap();
            deferred.follow(pass.statistics()).unwrap();
        }
        // The first channel followed batches 1, 3 and 4, each of mean 2 and variance 2; the second 2 and 4, of mean 2 and
        // 6 and variance 2.
        let expected = (vec![1.75, 3.5], vec![1.875, 1.75], 4);
        assert_eq!(running(&kept), expected);
        assert_eq!(running(&deferred), expected);
        assert_eq!(kept.running().unwrap().is_finite(), Ok(true));
        assert_eq!(plain.running().unwrap().is_finite(), Ok(false));
    }
    let cumulative = BatchNormConfig::new(1)
        .averaging(Averaging::Cumulative)
        .keep_running_finite(true);
    assert!(matches!(cumulative.validate(), Err(Error::Value { .. })));
}

#[test]
fn a_variance_beyond_the_type_is_pooled_and_followed() {
    // Of ±3e19 the variance is 9e38.
    let (value, shape) = (3e19_f32, Shape::channels_first(&[4, 1]).unwrap());
    let x = Tensor::new(&cpu(), shape, &[value, -value, value, -value]).unwrap();
    let config = BatchNormConfig::new(1).running_variance(RunningVariance::Population);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config.momentum(0.25)).unwrap();
    let batch = layer.batch_statistics(&x).unwrap();
    assert_eq!(batch.variance().to_vec().unwrap(), [f32::INFINITY]);
    let mut pooled = PooledStatistics::new(1);
    pooled.add(&batch).unwrap();
    let variance = f64::from(value).powi(2);
    let is_near = |found: f64, truth: f64| (found - truth).abs() <= truth * 2f64.powi(-22);
    assert!(is_near(
        pooled.variance().unwrap().next().unwrap(),
        variance
    ));
    let again = pooled.to_batch::<f32, _>(&cpu(), 1e-5).unwrap();
    layer.follow(&again).unwrap();
    let followed = layer.running().unwrap().variance().to_vec().unwrap();
    assert!(is_near(f64::from(followed[0]), 0.75 + 0.25 * variance));
}

#[test]
fn a_mean_beyond_the_type_is_of_no_batch() {
    let pooled = PooledStatistics::from_parts(8, &[0.0, -1e39], &[1.0, 1.0]).unwrap();
    let refused = pooled.to_batch::<f32, _>(&cpu(), 1e-5).unwrap_err();
    assert!(
        refused.to_string().contains("-1e39 in channel 1"),
        "{refused}"
    );
    assert!(pooled.to_batch::<f64, _>(&cpu(), 1e-5).is_ok());
}

#[cfg(feature = "candle")]
#[test]
fn a_variance_that_is_none_makes_no_layer_of_candle() -> candle_core::Result<()> {
    use candle_core::{Device, Tensor};
    for wrong in NO_VARIANCES {
        let mean = Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu)?;
        let variance = Tensor::new(&[1.0, wrong], &Device::Cpu)?;
        let made = batchnorm::candle::BatchNorm::new_no_bias(2, mean, variance, 1e-5);
        let message = made.unwrap_err().to_string();
        let said = format!("{wrong:?} in channel 1");
        assert!(message.contains(&said), "{message}");
    }
    Ok(())
}
