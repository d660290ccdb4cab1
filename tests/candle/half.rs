//! Half-precision activations with `f32` parameters, which candle's own layer does not train.

use batchnorm::Shape;
use batchnorm::candle::{BatchNorm, batch_norm};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{ModuleT, VarBuilder, VarMap};
use contract_suite::shapes;

use crate::data::{Both, distance, tensor};

/// The unit roundoff.
fn roundoff(dtype: DType) -> f32 {
    match dtype {
        DType::F16 => 2f32.powi(-11),
        _ => 2f32.powi(-8),
    }
}

/// y and the gradients of x, γ and β, all as `f32`.
fn step(layer: &BatchNorm, x: &Var, dy: &Tensor, train: bool) -> Result<[Tensor; 4]> {
    let y = layer.forward_t(x, train)?;
    assert_eq!(y.dtype(), x.dtype());
    let gradients = (&y * dy)?.sum_all()?.backward()?;
    let (gamma, beta) = layer.weight_and_bias().expect("affine");
    let dx = gradients.get(x).expect("dx");
    assert_eq!(dx.dtype(), x.dtype());
    let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
    let (dgamma, dbeta) = (of(gamma), of(beta));
    assert_eq!((dgamma.dtype(), dbeta.dtype()), (DType::F32, DType::F32));
    let wide = |t: &Tensor| t.to_dtype(DType::F32);
    Ok([wide(&y)?, wide(dx)?, dgamma, dbeta])
}

#[test]
fn halves_train_like_f32_rounded_once() -> Result<()> {
    for dtype in [DType::F16, DType::BF16] {
        for shape in shapes::ranks() {
            for train in [true, false] {
                let half = Var::from_tensor(&tensor(&shape, 0.4, 1)?.to_dtype(dtype)?)?;
                let dy = tensor(&shape, 0.1, 2)?.to_dtype(dtype)?;
                let wide = Var::from_tensor(&half.to_dtype(DType::F32)?.detach())?;
                let [ours, reference] =
                    [(); 2].map(|()| Both::new(shape.channels(), 1e-3, 0.2).map(|both| both.ours));
                let (ours, reference) = (ours?, reference?);
                let found = step(&ours, &half, &dy, train)?;
                let expected = step(&reference, &wide, &dy.to_dtype(DType::F32)?, train)?;
                for (found, expected) in found.iter().zip(&expected).take(2) {
                    assert!(distance(found, expected)? <= roundoff(dtype));
                }
                // Sums of the same values, in f32 either way.
                for (found, expected) in found.iter().zip(&expected).skip(2) {
                    assert!(distance(found, expected)? < 1e-6);
                }
                assert!(distance(ours.running_mean(), reference.running_mean())? < 1e-6);
                assert!(distance(ours.running_var(), reference.running_var())? < 1e-6);
            }
        }
    }
    Ok(())
}

#[test]
fn candle_s_own_layer_does_not_train_halves() -> Result<()> {
    for dtype in [DType::F16, DType::BF16] {
        let x = Tensor::zeros((4, 3, 2, 2), dtype, &Device::Cpu)?;
        let both = Both::new(3, 1e-3, 0.2)?;
        assert!(both.candle.forward_t(&x, true).is_err());
        assert!(both.ours.forward_t(&x, true).is_ok());
    }
    Ok(())
}

/// As candle's own; `f32` where they are asked for.
#[test]
fn variables_are_of_the_builder_s_type() -> Result<()> {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for variable_type in [dtype, DType::F32] {
            let variables = VarMap::new();
            let vb = VarBuilder::from_varmap(&variables, dtype, &Device::Cpu);
            let layer = batch_norm(3, 1e-5, vb.to_dtype(variable_type))?;
            for variable in variables.all_vars() {
                assert_eq!(variable.dtype(), variable_type);
            }
            if dtype == DType::F64 && variable_type == DType::F32 {
                continue;
            }
            let x = Tensor::randn(0f32, 1., (8, 3), &Device::Cpu)?.to_dtype(dtype)?;
            assert_eq!(layer.forward_t(&x, true)?.dtype(), dtype);
            assert_eq!(layer.running_mean().dtype(), variable_type);
        }
    }
    Ok(())
}

/// A layer whose four tensors are variables of a half type, as one that was taken over from a half model has, and one of
/// `f32` that begins with the same values.
fn half_and_wide(dtype: DType) -> Result<[BatchNorm; 2]> {
    let model = Both::new(3, 1e-3, 0.2)?.ours;
    let (weight, bias) = model.weight_and_bias().expect("affine");
    let of = |stored: DType| {
        let var = |t: &Tensor| {
            let rounded = t.to_dtype(dtype)?.to_dtype(stored)?.detach();
            Ok::<_, candle_core::Error>(Var::from_tensor(&rounded)?.into_inner())
        };
        BatchNorm::new_with_momentum(
            3,
            var(model.running_mean())?,
            var(model.running_var())?,
            var(weight)?,
            var(bias)?,
            model.eps(),
            model.momentum(),
        )
    };
    Ok([of(dtype)?, of(DType::F32)?])
}

/// y and dx; and what is of the layer's types: the gradients of weight and bias, and the running statistics.
fn of_half_parameters(
    layer: &BatchNorm,
    x: &Var,
    train: bool,
) -> Result<([Tensor; 2], [Tensor; 4])> {
    let y = layer.forward_t(x, train)?;
    let gradients = y.sqr()?.sum_all()?.backward()?;
    let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
    let (weight, bias) = layer.weight_and_bias().expect("affine");
    let running = [layer.running_mean(), layer.running_var()].map(Tensor::clone);
    let [mean, var] = running;
    Ok(([y, of(x)], [of(weight), of(bias), mean, var]))
}

#[test]
fn half_parameters_are_computed_with_in_f32_and_stay_half() -> Result<()> {
    let shape = Shape::channels_first(&[6, 3, 5]).unwrap();
    for dtype in [DType::F16, DType::BF16] {
        for (input, train) in [(dtype, true), (dtype, false), (DType::F32, true)] {
            let x = Var::from_tensor(&tensor(&shape, 0.4, 1)?.to_dtype(input)?)?;
            let [half, wide] = half_and_wide(dtype)?;
            let found = of_half_parameters(&half, &x, train)?;
            let expected = of_half_parameters(&wide, &x, train)?;
            for (found, expected) in found.0.iter().zip(&expected.0) {
                assert_eq!(found.dtype(), input);
                let (found, expected) =
                    (found.to_dtype(DType::F32)?, expected.to_dtype(DType::F32)?);
                assert_eq!(distance(&found, &expected)?, 0.0);
            }
            for (found, expected) in found.1.iter().zip(&expected.1) {
                assert_eq!(found.dtype(), dtype);
                assert!(distance(&found.to_dtype(DType::F32)?, expected)? <= roundoff(dtype));
            }
        }
    }
    Ok(())
}
