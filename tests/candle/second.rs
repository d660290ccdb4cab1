//! Second derivatives: a loss that is made of gradients, through this layer and through candle's own, whose operations candle
//! differentiates one by one.

use std::sync::Arc;
use std::time::Duration;

use batchnorm::candle::{BatchNorm, BatchNormConfig};
use batchnorm::{Activation, Shape, ThreadRank};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::ModuleT;
use contract_suite::shapes;

use crate::data::{logical, values};
use crate::graph::run_in_one_graph;

/// Values in f64, as those of a shape.
fn tensor(shape: &Shape, center: f32, seed: u64) -> Result<Tensor> {
    let memory = Tensor::from_vec(
        values(shape.len(), center, seed),
        shape.dims(),
        &Device::Cpu,
    )?;
    logical(&memory.to_dtype(DType::F64)?, shape)
}

fn channels(count: usize, center: f32, seed: u64) -> Result<Var> {
    let values = Tensor::from_vec(values(count, center, seed), count, &Device::Cpu)?;
    Var::from_tensor(&values.to_dtype(DType::F64)?)
}

/// Either kind of layer, of variables of its own.
struct Layers {
    ours: BatchNorm,
    candle: candle_nn::BatchNorm,
}

fn layers(count: usize, config: impl Into<BatchNormConfig>) -> Result<Layers> {
    let config = config.into();
    let candle = || -> Result<candle_nn::BatchNorm> {
        candle_nn::BatchNorm::new_with_momentum(
            count,
            channels(count, 0.3, 13)?.into_inner(),
            channels(count, 0.0, 14)?.sqr()?.affine(1., 0.5)?,
            channels(count, 1.5, 11)?.into_inner(),
            channels(count, -0.5, 12)?.into_inner(),
            config.eps,
            config.momentum,
        )
    };
    let ours = BatchNorm::try_from(candle()?)?.with_activation(config.activation);
    Ok(Layers {
        ours,
        candle: candle()?,
    })
}

/// What is done to x and the residual.
type Forward<'a> = &'a dyn Fn(&Tensor, &Tensor) -> Result<Tensor>;

/// A loss of all gradients of another loss, and its gradients with respect to x, the residual, γ and β.
fn second_gradients(
    forward: Forward<'_>,
    (x, residual): (&Tensor, &Tensor),
    (gamma, beta): (&Tensor, &Tensor),
    leaves: [&Tensor; 2],
) -> Result<Vec<Tensor>> {
    let weights = x.sin()?.detach();
    let loss = ((forward(x, residual)?.sqr()? * weights)?).sum_all()?;
    let gradients = loss.backward()?;
    let mut penalty = Tensor::zeros((), DType::F64, &Device::Cpu)?;
    for of in [leaves[0], leaves[1], gamma, beta] {
        if let Some(gradient) = gradients.get(of) {
            let linear = (gradient * gradient.detach().cos()?)?;
            penalty = ((penalty + gradient.sqr()?.sum_all()?)? + linear.sum_all()?)?;
        }
    }
    let second = penalty.backward()?;
    let of_each = [leaves[0], leaves[1], gamma, beta].map(|of| second.get(of).cloned());
    Ok(of_each.into_iter().flatten().collect())
}

fn distance(a: &Tensor, b: &Tensor) -> Result<f64> {
    assert_eq!((a.dims(), a.dtype()), (b.dims(), b.dtype()));
    let largest = |t: &Tensor| t.abs()?.flatten_all()?.max(0)?.to_scalar::<f64>();
    let (difference, size) = (largest(&(a - b)?)?, largest(b)?);
    assert!(difference.is_finite() && size.is_finite());
    Ok(difference / size.max(1e-6))
}

/// In both layouts of a view, with and without a residual.
fn check(shape: &Shape, activation: Activation, train: bool, with_residual: bool) -> Result<()> {
    let config = BatchNormConfig {
        activation,
        eps: 1e-3,
        ..BatchNormConfig::default()
    };
    let Layers { ours, candle } = layers(shape.channels(), config)?;
    let x = Var::from_tensor(&tensor(shape, 0.2, 1)?)?;
    let residual = Var::from_tensor(&tensor(shape, 0.4, 3)?)?;
    // Not the variables themselves, so that the gradients go on through other operations.
    let inputs = (x.affine(1.5, 0.1)?, residual.tanh()?);
    let fused = |x: &Tensor, residual: &Tensor| {
        if with_residual {
            ours.forward_t_add(x, residual, train)
        } else {
            ours.forward_t(x, train)
        }
    };
    let composed = |x: &Tensor, residual: &Tensor| {
        let mut v = candle.forward_t(x, train)?;
        if with_residual {
            v = (v + residual)?;
        }
        match activation {
            Activation::Relu => v.relu(),
            Activation::Relu6 => v.clamp(0f64, 6f64),
            Activation::LeakyRelu { slope } => candle_nn::ops::leaky_relu(&v, slope),
            _ => Ok(v),
        }
    };
    let leaves = [x.as_tensor(), residual.as_tensor()];
    let inputs = (&inputs.0, &inputs.1);
    let affine = ours.weight_and_bias().expect("affine");
    let found = second_gradients(&fused, inputs, affine, leaves)?;
    let affine = candle.weight_and_bias().expect("affine");
    let expected = second_gradients(&composed, inputs, affine, leaves)?;
    let count = if with_residual { 4 } else { 3 };
    assert_eq!((found.len(), expected.len()), (count, count));
    for (found, expected) in found.iter().zip(&expected) {
        let distance = distance(found, expected)?;
        assert!(distance < 1e-9, "{shape} {activation} {train}: {distance}");
    }
    Ok(())
}

#[test]
fn they_are_those_of_candle_s_layer() {
    run_in_one_graph("second::like_candle_in_one_graph");
}

#[test]
#[ignore = "they_are_those_of_candle_s_layer runs it"]
fn like_candle_in_one_graph() -> Result<()> {
    for shape in shapes::ranks() {
        for activation in Activation::all(0.1, 1.0).filter(|one| one.has_second_derivatives()) {
            for (train, with_residual) in
                [(true, false), (true, true), (false, false), (false, true)]
            {
                check(&shape, activation, train, with_residual)?;
            }
        }
    }
    Ok(())
}

/// A variable that is set before the second derivatives are asked for, half types, and what is refused.
#[test]
fn more_of_them() {
    run_in_one_graph("second::variables_types_and_errors_in_one_graph");
}

#[test]
#[ignore = "more_of_them runs it"]
fn variables_types_and_errors_in_one_graph() -> Result<()> {
    let shape = Shape::channels_last(&[3, 4, 2, 5]).unwrap();
    let x = Var::from_tensor(&tensor(&shape, 0.2, 1)?.contiguous()?)?;
    let dy = tensor(&shape, 0.1, 2)?;
    let gradient = |layer: &BatchNorm| -> Result<Tensor> {
        let y = layer.forward_t(x.as_tensor(), true)?;
        let gradients = (y * &dy)?.sum_all()?.backward()?;
        Ok(gradients.get(&x).expect("dx").clone())
    };
    let Layers { ours, .. } = layers(5, 1e-3)?;
    let penalty = gradient(&ours)?.sqr()?.sum_all()?;
    let expected = penalty.backward()?.get(&x).expect("of x").clone();
    let penalty = gradient(&ours)?.sqr()?.sum_all()?;
    let before = x.as_tensor().copy()?.detach();
    x.set(&x.zeros_like()?)?;
    let found = penalty.backward()?.get(&x).expect("of x").clone();
    // What is squared is a gradient of before, and nothing of the layer's is read again.
    assert_eq!(distance(&found, &expected)?, 0.0);
    x.set(&before)?;

    let third = expected.sqr()?.sum_all()?.backward();
    let message = third.expect_err("an error").to_string();
    let begins =
        "backward is not supported for the second derivatives of batch norm (it has no third";
    assert!(message.starts_with(begins), "{message}");

    for activation in Activation::all(0.1, 1.0).filter(|one| !one.has_second_derivatives()) {
        let ours = layers(5, 1e-3)?.ours.with_activation(activation);
        let refused = gradient(&ours)?.sqr()?.sum_all()?.backward();
        let message = refused.expect_err("an error").to_string();
        let names = format!("must be none, relu, relu6 or leaky_relu, got {activation}");
        assert!(message.contains(&names), "{message}");
    }
    for rank in ThreadRank::connect(1, Duration::from_secs(300)) {
        let of_ranks = layers(5, 1e-3)?.ours.synchronized(Arc::new(rank))?;
        let refused = gradient(&of_ranks)?.sqr()?.sum_all()?.backward();
        let message = refused.expect_err("an error").to_string();
        assert!(
            message.contains("got one that is synchronized over ranks"),
            "{message}"
        );
    }
    half(&shape)
}

/// x in bf16 and parameters in f32, near the same in f64.
fn half(shape: &Shape) -> Result<()> {
    let Layers { ours, .. } = layers(5, 1e-3)?;
    let narrow = |tensor: &Tensor| tensor.to_dtype(DType::F32);
    let (weight, bias) = ours.weight_and_bias().expect("affine");
    let of_floats = BatchNorm::new(
        5,
        narrow(ours.running_mean())?,
        narrow(ours.running_var())?,
        Var::from_tensor(&narrow(weight)?)?.into_inner(),
        Var::from_tensor(&narrow(bias)?)?.into_inner(),
        1e-3,
    )?;
    let mut found = vec![];
    for (layer, dtype) in [(&of_floats, DType::BF16), (&ours, DType::F64)] {
        let exact = tensor(shape, 0.2, 1)?.to_dtype(DType::BF16)?;
        let x = Var::from_tensor(&exact.to_dtype(dtype)?.contiguous()?)?;
        let y = layer.forward_t(&x, true)?;
        let gradients = (y.sqr()? * x.detach())?.sum_all()?.backward()?;
        let penalty = gradients.get(&x).expect("dx").sqr()?.sum_all()?;
        let second = penalty.backward()?;
        for of in [x.as_tensor(), layer.weight_and_bias().expect("affine").0] {
            let gradient = second.get(of).expect("a gradient");
            assert_eq!(gradient.dtype(), of.dtype());
            found.push(gradient.to_dtype(DType::F64)?);
        }
    }
    for (half, exact) in found[..2].iter().zip(&found[2..]) {
        let distance = distance(half, exact)?;
        assert!(distance < 0.05, "{distance}");
    }
    Ok(())
}
