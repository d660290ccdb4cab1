//! What has no way back from y is an error of the forward pass, and leaves all as it was.

use batchnorm::backend::{
    ActivationBackward, Backend, GradientSumsMut, GradientsOfGradients, InOut, Normalization,
    SavedActivation, SecondGradientsMut, StatisticsSource,
};
use batchnorm::{Activation, BatchNormConfig, Cpu, Error, Renormalization, Shape, Tensor};

use crate::{ELU, LEAKY, layer, tensor, wave};

fn shape() -> Shape {
    Shape::channels_first(&[2, 3, 4]).unwrap()
}

fn x(cpu: &Cpu) -> Tensor<f32, Cpu> {
    tensor(cpu, shape(), &wave(24, 1.7, 0.2))
}

/// What both forward passes say of such a layer.
fn refused(config: BatchNormConfig, gamma: [f32; 3]) -> [String; 2] {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut layer = layer::<f32>(&cpu, config);
    layer.gamma_mut().unwrap().set(&gamma).unwrap();
    let running = |layer: &batchnorm::BatchNorm<Cpu>| {
        let running = layer.running().unwrap();
        (
            running.mean().to_vec().unwrap(),
            running.num_batches_tracked(),
        )
    };
    let before = running(&layer);
    let mut x = x(&cpu);
    let values = x.to_vec().unwrap();
    let errors = [
        layer.forward_training_in_place(&mut x, None).unwrap_err(),
        layer.forward_frozen_in_place(&mut x, None).unwrap_err(),
    ];
    let mut y = x.clone();
    let kept = layer
        .forward_training_keeping_output(&x, None, &mut y)
        .unwrap_err();
    assert_eq!(kept, errors[0]);
    assert_eq!(x.to_vec().unwrap(), values);
    assert_eq!(running(&layer), before);
    errors.map(|error| error.to_string())
}

#[test]
fn activations_without_an_inverse() {
    for activation in Activation::all(0.0, -1.0).filter(|one| !one.has_inverse()) {
        let config = BatchNormConfig::new(3).activation(activation);
        for error in refused(config, [1.0; 3]) {
            assert!(error.contains(&activation.to_string()), "{error}");
            assert!(error.contains("inverse"), "{error}");
        }
    }
}

#[test]
fn a_gamma_without_an_inverse_is_named_with_its_channel() {
    for activation in [Activation::None, LEAKY, ELU] {
        let config = BatchNormConfig::new(3).activation(activation);
        for gamma in [0.0, -0.0, 1e-39, -1e-45, 1e38, f32::NAN, f32::INFINITY] {
            for error in refused(config, [1.0, gamma, 0.0]) {
                let named = format!("{:e} in channel 1", f64::from(gamma));
                assert!(error.contains(&named), "{error}");
            }
        }
    }
}

/// inv_std is at most 1/sqrt(ε) in training, and known with frozen statistics.
#[test]
fn a_gamma_that_inv_std_can_take_out_of_range() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut layer = layer::<f32>(&cpu, BatchNormConfig::new(3).epsilon(1e-5));
    layer.gamma_mut().unwrap().set(&[1.0, -2.0, 2e36]).unwrap();
    let error = layer.forward_training_in_place(x(&cpu), None).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("channel 2") && error.contains("inv_std"),
        "{error}"
    );
    let pass = layer.forward_frozen_in_place(x(&cpu), None).unwrap();
    let dx = pass.backward(&x(&cpu)).unwrap().input;
    assert!(dx.slice().iter().all(|dx| dx.is_finite()));
}

/// R may take γ out of range.
#[test]
fn a_gamma_that_renormalization_can_take_out_of_range() {
    let config = BatchNormConfig::new(3).renormalization(Renormalization::new(10.0, 1.0));
    let cpu = Cpu::with_threads(1).unwrap();
    let mut layer = layer::<f32>(&cpu, config);
    layer.gamma_mut().unwrap().set(&[1.0, 5e-38, 1.0]).unwrap();
    let error = layer.forward_training_in_place(x(&cpu), None).unwrap_err();
    assert!(error.to_string().contains("e-38 in channel 1"), "{error}");
    layer.forward_frozen_in_place(x(&cpu), None).unwrap();
    layer.set_renormalization(None).unwrap();
    layer.forward_training_in_place(x(&cpu), None).unwrap();
}

#[test]
fn what_every_forward_pass_refuses() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut layer = layer::<f32>(&cpu, BatchNormConfig::new(3).activation(LEAKY));
    let one = Tensor::<f32, _>::zeros(&cpu, Shape::channels_first(&[1, 3]).unwrap()).unwrap();
    let error = layer.forward_training_in_place(one, None).unwrap_err();
    assert!(matches!(error, Error::TooFewValues { .. }), "{error}");
    let wide = Tensor::<f32, _>::zeros(&cpu, Shape::channels_first(&[2, 4]).unwrap()).unwrap();
    let error = layer
        .forward_training_in_place(wide.clone(), None)
        .unwrap_err();
    assert!(matches!(error, Error::Channels { .. }), "{error}");
    let error = layer
        .forward_training_in_place(x(&cpu), Some(&wide))
        .unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
    let error = layer
        .forward_training_keeping_output(&x(&cpu), None, wide)
        .unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
}

#[test]
fn a_residual_is_given_to_both_passes_or_to_none() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut layer = layer::<f32>(&cpu, BatchNormConfig::new(3).activation(ELU));
    let dy = x(&cpu);
    let with = layer.forward_training_in_place(x(&cpu), Some(&dy)).unwrap();
    let without = layer.forward_training_in_place(x(&cpu), None).unwrap();
    let is_of_residual = |error: &Error| matches!(error, Error::Residual { .. });
    assert!(is_of_residual(&with.backward(&dy).unwrap_err()));
    assert!(is_of_residual(&without.backward_add(&dy, &dy).unwrap_err()));
    let (mut dx, mut dresidual) = (x(&cpu), x(&cpu));
    let error = without.backward_into(None, &dy, &mut dx, Some(&mut dresidual));
    assert!(is_of_residual(&error.unwrap_err()));
    assert_eq!(dx.slice(), dy.slice());
    let other = Tensor::<f32, _>::zeros(&cpu, Shape::channels_first(&[2, 3]).unwrap()).unwrap();
    let error = with.backward_add(&other, &dy).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
    let error = with.backward_add(&dy, &other).unwrap_err();
    assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
}

/// Of the steps, which are given γ themselves.
#[test]
fn steps_check_what_they_are_given() {
    let cpu = Cpu::with_threads(1).unwrap();
    let (shape, y) = (shape(), vec![0.5f32; 24]);
    let (ones, zeros) = ([1.0f32; 3], [0.0f32; 3]);
    let backward = |gamma: &[f32], activation, residual| {
        let (mut dx, mut dgamma, mut dbeta) = (vec![-77.0f32; 24], [-77.0; 3], [-77.0; 3]);
        let done = cpu.backward::<f32>(
            &shape,
            InOut::Separate(&y, &mut dx),
            &y,
            Normalization {
                mean: &zeros,
                mean_low: &zeros,
                inv_std: &ones,
                gamma,
                beta: &zeros,
            },
            StatisticsSource::Running,
            ActivationBackward {
                activation,
                saved: SavedActivation::Output(residual),
            },
            None,
            GradientSumsMut {
                gamma: &mut dgamma,
                beta: &mut dbeta,
            },
        );
        assert!(done.is_ok() || (dx == [-77.0; 24] && dgamma == [-77.0; 3]));
        done.map_err(|error| error.to_string())
    };
    backward(&ones, LEAKY, Some(&y)).unwrap();
    let error = backward(&[1.0, 1.0, 0.0], LEAKY, None).unwrap_err();
    assert!(error.contains("channel 2"), "{error}");
    let error = backward(&ones, Activation::Relu, None).unwrap_err();
    assert!(error.contains("relu"), "{error}");
    let error = backward(&ones, LEAKY, Some(&y[1..])).unwrap_err();
    assert!(error.contains("the residual has 23 values"), "{error}");

    let (mut of_dy, mut of_x, mut of_gamma) = (vec![0.0f32; 24], vec![0.0f32; 24], [0.0; 3]);
    let error = cpu.double_backward::<f32>(
        &shape,
        &y,
        &y,
        Normalization {
            mean: &zeros,
            mean_low: &zeros,
            inv_std: &ones,
            gamma: &ones,
            beta: &zeros,
        },
        StatisticsSource::Batch,
        ActivationBackward {
            activation: LEAKY,
            saved: SavedActivation::Output(None),
        },
        GradientsOfGradients::default(),
        SecondGradientsMut {
            dy: &mut of_dy,
            x: &mut of_x,
            gamma: &mut of_gamma,
        },
    );
    assert!(error.unwrap_err().to_string().contains("from y"));
}
