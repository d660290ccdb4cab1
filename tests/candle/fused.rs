//! Activations and the addition of a residual inside the layer, against the same as operations of candle's behind it.

use std::f64::consts::FRAC_2_PI;

use batchnorm::candle::{BatchNorm, BatchNormConfig, batch_norm};
use batchnorm::{Activation, Shape};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{ModuleT, VarBuilder, VarMap};
use contract_suite::shapes;

use crate::data::{Both, distance, tensor};

/// Gradients of x, the residual, γ and β, after y.
fn step(
    layer: &BatchNorm,
    inputs: [&Var; 2],
    dy: &Tensor,
    forward: impl Fn(&BatchNorm, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let [x, residual] = inputs;
    let y = forward(layer, x, residual)?;
    let gradients = (&y * dy)?.sum_all()?.backward()?;
    let (gamma, beta) = layer.weight_and_bias().expect("affine");
    let mut all = vec![y];
    for of in [x.as_tensor(), residual.as_tensor(), gamma, beta] {
        all.extend(gradients.get(of).cloned());
    }
    Ok(all)
}

fn check(
    shape: &Shape,
    activation: Activation,
    gradients: usize,
    fused: impl Fn(&BatchNorm, &Tensor, &Tensor) -> Result<Tensor>,
    composed: impl Fn(&BatchNorm, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<()> {
    let variable = |seed| Var::from_tensor(&tensor(shape, 0.2, seed)?);
    let (x, residual, dy) = (variable(1)?, variable(3)?, tensor(shape, 0.1, 2)?);
    let plain = || Both::new(shape.channels(), 1e-3, 0.2).map(|both| both.ours);
    let found = step(
        &plain()?.with_activation(activation),
        [&x, &residual],
        &dy,
        fused,
    )?;
    let expected = step(&plain()?, [&x, &residual], &dy, composed)?;
    assert_eq!(
        (found.len(), expected.len()),
        (1 + gradients, 1 + gradients)
    );
    for (found, expected) in found.iter().zip(&expected) {
        assert!(distance(found, expected)? < 1e-5, "{shape}");
    }
    Ok(())
}

#[test]
fn fused_operations_are_those_of_candle() -> Result<()> {
    for shape in shapes::ranks() {
        for train in [true, false] {
            check(
                &shape,
                Activation::Relu,
                3,
                |layer, x, _| layer.forward_t(x, train),
                |layer, x, _| layer.forward_t(x, train)?.relu(),
            )?;
            check(
                &shape,
                Activation::None,
                4,
                |layer, x, residual| layer.forward_t_add(x, residual, train),
                |layer, x, residual| layer.forward_t(x, train)? + residual,
            )?;
            check(
                &shape,
                Activation::Relu,
                4,
                |layer, x, residual| layer.forward_t_add(x, residual, train),
                |layer, x, residual| (layer.forward_t(x, train)? + residual)?.relu(),
            )?;
        }
    }
    Ok(())
}

type OfCandle = fn(&Tensor) -> Result<Tensor>;

#[test]
fn other_activations_are_those_of_candle() -> Result<()> {
    let activations: [(Activation, OfCandle); 9] = [
        (Activation::LeakyRelu { slope: 0.1 }, |v| {
            candle_nn::ops::leaky_relu(v, 0.1)
        }),
        (Activation::Silu, Tensor::silu),
        (Activation::Relu6, |v| v.clamp(0f32, 6f32)),
        (Activation::Elu { alpha: 0.7 }, |v| v.elu(0.7)),
        (Activation::Hardswish, |v| {
            v * candle_nn::ops::hard_sigmoid(v)?
        }),
        (Activation::Sigmoid, candle_nn::ops::sigmoid),
        (Activation::Tanh, Tensor::tanh),
        // Of functions whose gradients candle takes with all digits: its GELU's have six.
        (Activation::Gelu, |v| {
            v * (v * 0.5f64.sqrt())?.erf()?.affine(0.5, 0.5)?
        }),
        (Activation::GeluTanh, |v| {
            let cubic = ((v.sqr()? * v)? * 0.044_715)?;
            let argument = ((v + cubic)? * FRAC_2_PI.sqrt())?;
            v * argument.tanh()?.affine(0.5, 0.5)?
        }),
    ];
    for shape in shapes::ranks() {
        for (activation, of_candle) in activations {
            for train in [true, false] {
                check(
                    &shape,
                    activation,
                    3,
                    |layer, x, _| layer.forward_t(x, train),
                    |layer, x, _| of_candle(&layer.forward_t(x, train)?),
                )?;
                check(
                    &shape,
                    activation,
                    4,
                    |layer, x, residual| layer.forward_t_add(x, residual, train),
                    |layer, x, residual| of_candle(&(layer.forward_t(x, train)? + residual)?),
                )?;
            }
        }
    }
    Ok(())
}

#[test]
fn without_weight_and_bias_only_the_input_has_a_gradient() -> Result<()> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let config = BatchNormConfig {
        affine: false,
        ..Default::default()
    };
    let layer = batch_norm(5, config, vb)?;
    let theirs = candle_nn::batch_norm(
        5,
        candle_nn::BatchNormConfig {
            affine: false,
            ..Default::default()
        },
        VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu),
    )?;
    assert_eq!(variables.all_vars().len(), 2);
    let shape = Shape::channels_first(&[4, 5, 3]).unwrap();
    let (x, dy) = (
        Var::from_tensor(&tensor(&shape, 0.2, 1)?)?,
        tensor(&shape, 0.0, 2)?,
    );
    let dx = |y: Tensor| {
        Ok::<_, candle_core::Error>(
            (y * &dy)?
                .sum_all()?
                .backward()?
                .get(&x)
                .expect("dx")
                .clone(),
        )
    };
    let found = dx(layer.forward_t(&x, true)?)?;
    assert!(distance(&found, &dx(theirs.forward_t(&x, true)?)?)? < 1e-5);
    Ok(())
}

#[test]
fn ghost_batches_are_separate_batches() -> Result<()> {
    let variables = VarMap::new();
    let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    let config = BatchNormConfig {
        ghost_batch: Some(4),
        ..Default::default()
    };
    let ghost = batch_norm(5, config, vb)?;
    let plain = batch_norm(
        5,
        1e-5,
        VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu),
    )?;
    let shape = Shape::channels_first(&[10, 5, 3]).unwrap();
    let x = Var::from_tensor(&tensor(&shape, 0.2, 1)?)?;
    let groups = [(0, 4), (4, 4), (8, 2)]
        .iter()
        .map(|&(start, len)| plain.forward_t(&x.narrow(0, start, len)?, true))
        .collect::<Result<Vec<_>>>()?;
    let expected = Tensor::cat(&groups, 0)?;
    let y = ghost.forward_t(&x, true)?;
    assert_eq!(distance(&y, &expected)?, 0.0);
    assert_eq!(distance(ghost.running_mean(), plain.running_mean())?, 0.0);
    assert_eq!(distance(ghost.running_var(), plain.running_var())?, 0.0);
    let dx = |y: Tensor| {
        Ok::<_, candle_core::Error>(
            y.sqr()?
                .mul(&y)?
                .sum_all()?
                .backward()?
                .get(&x)
                .expect("dx")
                .clone(),
        )
    };
    assert!(distance(&dx(y)?, &dx(expected)?)? < 1e-5);
    Ok(())
}
