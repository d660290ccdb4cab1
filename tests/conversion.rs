//! Parameters of Keras, flax and ONNX, there and back.

use batchnorm::{
    Averaging, BatchNorm, BatchNormConfig, Cpu, Error, FlaxParameters, KerasParameters,
    OnnxParameters, Result, RunningVariance, Shape, Tensor,
};

fn keras() -> KerasParameters<f32> {
    KerasParameters {
        gamma: Some(vec![2.0, -3.0]),
        beta: Some(vec![0.5, 1.5]),
        moving_mean: vec![1.0, -1.0],
        moving_variance: vec![5.0, 3.75],
        momentum: 0.75,
        epsilon: 0.25,
    }
}

fn flax() -> FlaxParameters<f64> {
    FlaxParameters {
        scale: Some(vec![2.0, -3.0]),
        bias: Some(vec![0.5, 1.5]),
        mean: vec![1.0, -1.0],
        var: vec![5.0, 3.75],
        momentum: 0.99,
        epsilon: 1e-5,
    }
}

fn onnx() -> OnnxParameters<f32> {
    OnnxParameters {
        scale: vec![2.0, -3.0],
        b: vec![0.5, 1.5],
        input_mean: vec![1.0, -1.0],
        input_var: vec![5.0, 3.75],
        momentum: 0.9,
        epsilon: 1e-5,
    }
}

fn input(values: &[f32]) -> Tensor<f32, Cpu> {
    let shape = Shape::channels_first(&[values.len() / 2, 2]).unwrap();
    Tensor::new(&Cpu::new(), shape, values).unwrap()
}

#[test]
fn parameters_come_back_as_they_were() -> Result<()> {
    let cpu = Cpu::new();
    assert_eq!(BatchNorm::from_keras(&cpu, &keras())?.to_keras()?, keras());
    assert_eq!(BatchNorm::from_flax(&cpu, &flax())?.to_flax()?, flax());
    assert_eq!(BatchNorm::from_onnx(&cpu, &onnx())?.to_onnx()?, onnx());

    let unscaled = KerasParameters {
        gamma: None,
        ..keras()
    };
    let layer = BatchNorm::from_keras(&cpu, &unscaled)?;
    assert!(layer.gamma().is_none() && layer.beta().is_some());
    assert_eq!(layer.to_keras()?, unscaled);
    let uncentered = FlaxParameters {
        bias: None,
        ..flax()
    };
    let layer = BatchNorm::from_flax(&cpu, &uncentered)?;
    assert!(layer.gamma().is_some() && layer.beta().is_none());
    assert_eq!(layer.to_flax()?, uncentered);
    Ok(())
}

#[test]
fn one_layer_is_the_same_everywhere() -> Result<()> {
    let layer = BatchNorm::from_onnx(&Cpu::new(), &onnx())?;
    let (keras, flax) = (layer.to_keras()?, layer.to_flax()?);
    assert_eq!(keras.gamma, Some(vec![2.0, -3.0]));
    assert_eq!(keras.beta, Some(vec![0.5, 1.5]));
    assert_eq!(keras.moving_mean, [1.0, -1.0]);
    assert_eq!(keras.moving_variance, [5.0, 3.75]);
    assert_eq!((keras.momentum, keras.epsilon), (0.9, 1e-5));
    assert_eq!((flax.scale, flax.bias), (keras.gamma, keras.beta));
    assert_eq!(
        (flax.mean, flax.var),
        (keras.moving_mean, keras.moving_variance)
    );
    Ok(())
}

#[test]
fn a_layer_has_the_settings_of_where_it_comes_from() -> Result<()> {
    let layer = BatchNorm::from_keras(&Cpu::new(), &keras())?;
    let expected = BatchNormConfig::new(2)
        .epsilon(0.25)
        .momentum(0.25)
        .running_variance(RunningVariance::Population);
    assert_eq!(layer.config(), &expected);
    Ok(())
}

/// Known numbers: inference, then a training step that moves the statistics by a quarter to the batch's.
#[test]
fn inference_and_further_training_are_those_of_keras() -> Result<()> {
    let mut layer = BatchNorm::from_keras(&Cpu::new(), &keras())?;
    let y = layer.forward_inference(&input(&[3.0, 1.0]))?.to_vec()?;
    // 2 (3 − 1) / sqrt(5.25) + 0.5 and −3 (1 + 1) / sqrt(4) + 1.5
    assert!(
        (y[0] - 2.245_743).abs() < 1e-6 && (y[1] + 1.5).abs() < 1e-6,
        "{y:?}"
    );

    layer.forward_training(&input(&[4.0, -3.0, 6.0, 1.0]))?;
    let running = layer.running().unwrap();
    // Batch means 5 and −1; population variances 1 and 4, where the unbiased ones were 2 and 8.
    assert_eq!(running.mean().to_vec()?, [2.0, -1.0]);
    assert_eq!(running.variance().to_vec()?, [4.0, 3.8125]);
    Ok(())
}

#[test]
fn the_defaults_are_those_of_each_framework() {
    type Keras = KerasParameters<f32>;
    type Flax = FlaxParameters<f32>;
    type Onnx = OnnxParameters<f32>;
    assert_eq!(
        (Keras::DEFAULT_MOMENTUM, Keras::DEFAULT_EPSILON),
        (0.99, 1e-3)
    );
    assert_eq!(
        (Flax::DEFAULT_MOMENTUM, Flax::DEFAULT_EPSILON),
        (0.99, 1e-5)
    );
    assert_eq!((Onnx::DEFAULT_MOMENTUM, Onnx::DEFAULT_EPSILON), (0.9, 1e-5));
}

#[test]
fn onnx_gets_ones_and_zeros_for_what_a_layer_lacks() -> Result<()> {
    let config = BatchNormConfig::new(2).without_affine();
    let layer: BatchNorm<_> = BatchNorm::new(&Cpu::new(), config)?;
    let onnx = layer.to_onnx()?;
    assert_eq!((onnx.scale, onnx.b), (vec![1.0; 2], vec![0.0; 2]));
    Ok(())
}

#[test]
fn momentum_outside_0_to_1_is_refused_and_the_ends_are_not() {
    let with = |momentum| {
        let changed = KerasParameters {
            momentum,
            ..keras()
        };
        BatchNorm::from_keras(&Cpu::new(), &changed)
    };
    for momentum in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
        let error = with(momentum).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{error}");
        assert!(error.to_string().contains(&momentum.to_string()), "{error}");
    }
    for (momentum, weight_of_new) in [(0.0, 1.0), (1.0, 0.0)] {
        let averaging = with(momentum).unwrap().config().averaging_kind();
        assert_eq!(
            averaging,
            Averaging::Exponential {
                momentum: weight_of_new
            }
        );
    }
}

#[test]
fn unusable_epsilons_are_refused() {
    for epsilon in [f64::NAN, f64::INFINITY, -1e-9] {
        let changed = OnnxParameters { epsilon, ..onnx() };
        let error = BatchNorm::from_onnx(&Cpu::new(), &changed).unwrap_err();
        assert!(matches!(error, Error::Epsilon { .. }), "{error}");
    }
}

#[test]
fn arrays_of_different_lengths_are_refused() {
    let changes: [fn(&mut KerasParameters<f32>); 4] = [
        |keras| keras.gamma = Some(vec![1.0]),
        |keras| keras.beta = Some(vec![1.0; 3]),
        |keras| keras.moving_mean = vec![1.0; 3],
        |keras| keras.moving_variance = vec![],
    ];
    for change in changes {
        let mut changed = keras();
        change(&mut changed);
        let error = BatchNorm::from_keras(&Cpu::new(), &changed).unwrap_err();
        assert!(matches!(error, Error::Length { .. }), "{error}");
    }
    let empty = OnnxParameters::<f32> {
        scale: vec![],
        b: vec![],
        input_mean: vec![],
        input_var: vec![],
        momentum: 0.9,
        epsilon: 1e-5,
    };
    let error = BatchNorm::from_onnx(&Cpu::new(), &empty).unwrap_err();
    assert_eq!(error, Error::NoChannels);
}

#[test]
fn layers_that_others_do_not_have_are_not_converted() -> Result<()> {
    let config = BatchNormConfig::new(2);
    let untracked: BatchNorm<_> = BatchNorm::new(&Cpu::new(), config.averaging(Averaging::Off))?;
    let cumulative: BatchNorm<_> =
        BatchNorm::new(&Cpu::new(), config.averaging(Averaging::Cumulative))?;
    let errors = |layer: &BatchNorm<Cpu>| {
        [
            layer.to_keras().unwrap_err(),
            layer.to_flax().unwrap_err(),
            layer.to_onnx().unwrap_err(),
        ]
    };
    for error in errors(&untracked) {
        assert!(
            matches!(error, Error::NoRunningStatistics { .. }),
            "{error}"
        );
    }
    for error in errors(&cumulative) {
        assert!(matches!(error, Error::Value { .. }), "{error}");
    }
    Ok(())
}
