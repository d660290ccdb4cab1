//! What has no second derivatives, or is not as the pass needs it: an error that says so, before anything is written.

use batchnorm::{Activation, BatchNorm, BatchNormConfig, ChannelArray, Cpu, Error, Shape, Tensor};

use crate::{Given, channels, tensor, wave};

fn cpu() -> Cpu {
    Cpu::with_threads(1).unwrap()
}

fn shape() -> Shape {
    Shape::channels_first(&[4, 3, 2]).unwrap()
}

fn array(a: f64) -> Tensor<f32, Cpu> {
    tensor(&cpu(), shape(), &wave(24, a, 0.1))
}

/// The error of a pass of these settings, which must leave both outputs as they were.
fn refused(
    config: BatchNormConfig,
    dy: &Tensor<f32, Cpu>,
    given: Given<'_, f32, Cpu>,
    mut of_x: Tensor<f32, Cpu>,
) -> Error {
    let mut layer = BatchNorm::<_, f32>::with_compute(&cpu(), config).unwrap();
    let (_, pass) = layer.forward_training(array(0.7)).unwrap();
    let mut of_dy = array(1.9);
    let before = [of_dy.to_vec().unwrap(), of_x.to_vec().unwrap()];
    let found = pass.double_backward_into(dy, given, &mut of_dy, &mut of_x);
    assert_eq!([of_dy.to_vec().unwrap(), of_x.to_vec().unwrap()], before);
    found.expect_err("an error")
}

#[test]
fn curved_activations() {
    let (dy, ddx) = (array(0.3), array(0.4));
    for activation in Activation::all(0.1, 1.0).filter(|one| !one.has_second_derivatives()) {
        let config = BatchNormConfig::new(3).activation(activation);
        let given = Given {
            input: Some(&ddx),
            ..Given::default()
        };
        let error = refused(config, &dy, given, array(0.5)).to_string();
        let expected = format!(
            "the activation of a pass whose second derivatives are asked for must be none, relu, relu6 or leaky_relu, got {activation}"
        );
        assert_eq!(error, expected);
    }
}

#[test]
fn other_shapes_and_lengths() {
    let (config, dy, ddx) = (BatchNormConfig::new(3), array(0.3), array(0.4));
    let short_shape = Shape::channels_first(&[2, 3, 2]).unwrap();
    let short = tensor::<f32, _>(&cpu(), short_shape, &[0.0; 12]);
    let two: ChannelArray<f32, Cpu> = channels(&cpu(), &[1.0, 2.0]);
    let of_input = |input| Given {
        input: Some(input),
        ..Given::default()
    };
    let mismatch = |error: Error, expected: &str| {
        assert!(
            matches!(error, Error::ShapeMismatch { what, .. } if what == expected),
            "{error}"
        );
    };
    mismatch(refused(config, &short, of_input(&ddx), array(0.5)), "dy");
    mismatch(
        refused(config, &dy, of_input(&short), array(0.5)),
        "the gradient of dx",
    );
    mismatch(
        refused(config, &dy, of_input(&ddx), short.clone()),
        "the second gradient of x",
    );
    for (given, expected) in [
        (
            Given {
                gamma: Some(&two),
                ..Given::default()
            },
            "the gradient of dgamma",
        ),
        (
            Given {
                beta: Some(&two),
                ..Given::default()
            },
            "the gradient of dbeta",
        ),
    ] {
        // With ghost batches too, of which the first must not have been written.
        for config in [config, config.ghost_batch(2)] {
            let error = refused(config, &dy, given, array(0.5));
            assert!(
                matches!(error, Error::Length { what, found: 2, needed: 3 } if what == expected),
                "{error}"
            );
        }
    }
}

/// The second ghost batch is constant, so that its inv_std is 1e6, and γ times that is beyond the type: the first has not been written.
#[test]
fn a_later_group_whose_factor_is_beyond_the_type() {
    let config = BatchNormConfig::new(3).epsilon(1e-12).ghost_batch(2);
    let mut layer = BatchNorm::<_, f32>::with_compute(&cpu(), config).unwrap();
    layer.gamma_mut().unwrap().set(&[1.0, 1e34, 1.0]).unwrap();
    let mut x = wave(24, 0.7, 0.1);
    x[12..].fill(0.5);
    let (_, pass) = layer
        .forward_training(tensor::<f32, _>(&cpu(), shape(), &x))
        .unwrap();
    let (dy, mut of_dy, mut of_x) = (array(0.3), array(1.9), array(0.5));
    let given = Given {
        input: Some(&dy),
        ..Given::default()
    };
    let error = pass.double_backward_into(&dy, given, &mut of_dy, &mut of_x);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("of channel 1"), "{error}");
    assert_eq!(of_dy.slice(), array(1.9).slice());
    assert_eq!(of_x.slice(), array(0.5).slice());
}

#[test]
fn gradients_of_what_there_is_not() {
    let (config, dy, ddx) = (BatchNormConfig::new(3), array(0.3), array(0.4));
    let three: ChannelArray<f32, Cpu> = channels(&cpu(), &[1.0, 2.0, 3.0]);
    let of_residual = Given {
        residual: Some(&ddx),
        ..Given::default()
    };
    let error = refused(config, &dy, of_residual, array(0.5)).to_string();
    assert_eq!(
        error,
        "a gradient of the residual's gradient was given, but the forward pass had none"
    );
    let of_gamma = Given {
        gamma: Some(&three),
        ..Given::default()
    };
    let error = refused(config.gamma(false), &dy, of_gamma, array(0.5)).to_string();
    assert_eq!(
        error,
        "the gradient of a parameter's gradient must be of a parameter that the layer has, got one of dgamma"
    );
}
