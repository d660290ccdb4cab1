//! Half-precision activations with `f32` parameters, which candle's own layer does not train.

use batchnorm::Shape;
use batchnorm::candle::{BatchNorm, batch_norm};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{ModuleT, VarBuilder, VarMap};
use contract_suite::shapes;

use crate::data::{Both, distance, tensor};

/// The unit roundoff of a half type; of `f32` what the order of additions makes of it.
fn roundoff(dtype: DType) -> f32 {
    match dtype {
        DType::F16 => 2f32.powi(-11),
        DType::BF16 => 2f32.powi(-8),
        _ => 1e-5,
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

/// y and the gradients of x, weight and bias, for this dy.
fn y_and_gradients(
    layer: &impl ModuleT,
    (weight, bias): (&Tensor, &Tensor),
    x: &Var,
    dy: &Tensor,
    train: bool,
) -> Result<[Tensor; 4]> {
    let y = layer.forward_t(x, train)?;
    let gradients = (&y * dy.to_dtype(y.dtype())?)?.sum_all()?.backward()?;
    let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
    Ok([y, of(x), of(weight), of(bias)])
}

#[test]
fn gradients_are_candle_s_for_parameters_and_inputs_of_any_type() -> Result<()> {
    const TYPES: [DType; 3] = [DType::F16, DType::BF16, DType::F32];
    let shape = Shape::channels_first(&[6, 3, 5]).unwrap();
    for (parameters, input) in TYPES.into_iter().flat_map(|a| TYPES.map(|b| (a, b))) {
        for train in [true, false] {
            let [ours, wide] = half_and_wide(parameters)?;
            let candle = candle_nn::BatchNorm::try_from(wide)?;
            let x = Var::from_tensor(&tensor(&shape, 0.4, 1)?.to_dtype(input)?)?;
            let dy = tensor(&shape, 0.1, 2)?.to_dtype(input)?;
            let wide_x = Var::from_tensor(&x.to_dtype(DType::F32)?.detach())?;
            let of_ours = ours.weight_and_bias().expect("affine");
            let of_candle = candle.weight_and_bias().expect("affine");
            let found = y_and_gradients(&ours, of_ours, &x, &dy, train)?;
            let expected = y_and_gradients(&candle, of_candle, &wide_x, &dy, train)?;
            let types = [input, input, parameters, parameters];
            for ((found, expected), dtype) in found.iter().zip(&expected).zip(types) {
                assert_eq!(found.dtype(), dtype);
                let found = found.to_dtype(DType::F32)?;
                let distance = distance(&found, expected)?;
                assert!(
                    distance <= roundoff(dtype),
                    "{parameters:?} {input:?} {train}: {distance}"
                );
            }
            let running = |layer: &candle_nn::BatchNorm| {
                [layer.running_mean(), layer.running_var()].map(|t| t.to_dtype(DType::F32))
            };
            for (found, expected) in running(&ours).into_iter().zip(running(&candle)) {
                assert!(distance(&found?, &expected?)? <= roundoff(parameters));
            }
        }
    }
    Ok(())
}

/// Of which tensors y is made, y counted: x and the variables themselves, whatever their types, and what brings a residual in.
#[test]
fn half_parameters_add_no_operation_to_a_pass() -> Result<()> {
    let shape = Shape::channels_first(&[6, 3, 5]).unwrap();
    let operations = |dtype: DType| {
        let [layer, _] = half_and_wide(dtype)?;
        let x = Var::from_tensor(&tensor(&shape, 0.4, 1)?.to_dtype(dtype)?)?;
        let residual = Var::from_tensor(&tensor(&shape, 0.4, 3)?.to_dtype(dtype)?)?;
        let mut counts = vec![];
        for train in [true, false] {
            let plain = layer.forward_t(&x, train)?;
            let added = layer.forward_t_add(&x, &residual, train)?;
            counts.extend([plain, added].map(|y| y.sorted_nodes().len()));
        }
        Ok::<_, candle_core::Error>(counts)
    };
    let of_f32 = operations(DType::F32)?;
    assert_eq!((of_f32[0], of_f32[2]), (4, 4));
    assert_eq!(operations(DType::F16)?, of_f32);
    assert_eq!(operations(DType::BF16)?, of_f32);
    Ok(())
}

/// A weight and a bias of two types have gradients of their own, without and with a residual.
#[test]
fn a_half_weight_and_a_wide_bias_go_together() -> Result<()> {
    let shape = Shape::channels_first(&[6, 3, 5]).unwrap();
    let [half, wide] = half_and_wide(DType::F16)?;
    let (weight, _) = half.weight_and_bias().expect("affine");
    let (_, bias) = wide.weight_and_bias().expect("affine");
    let var = |t: &Tensor| Ok::<_, candle_core::Error>(Var::from_tensor(&t.copy()?)?.into_inner());
    let mixed = BatchNorm::new(
        3,
        var(wide.running_mean())?,
        var(wide.running_var())?,
        var(weight)?,
        var(bias)?,
        wide.eps(),
    )?;
    let x = Var::from_tensor(&tensor(&shape, 0.4, 1)?)?;
    for residual in [false, true] {
        let gradients = |layer: &BatchNorm| {
            let y = if residual {
                layer.forward_t_add(&x, &x, true)?
            } else {
                layer.forward_t(&x, true)?
            };
            let gradients = y.sqr()?.sum_all()?.backward()?;
            let (weight, bias) = layer.weight_and_bias().expect("affine");
            let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
            Ok::<_, candle_core::Error>([of(weight), of(bias)])
        };
        let ([weight, bias], [expected_weight, expected_bias]) =
            (gradients(&mixed)?, gradients(&wide)?);
        assert_eq!((weight.dtype(), bias.dtype()), (DType::F16, DType::F32));
        let weight = weight.to_dtype(DType::F32)?;
        assert!(distance(&weight, &expected_weight)? <= roundoff(DType::F16));
        assert_eq!(distance(&bias, &expected_bias)?, 0.0);
    }
    Ok(())
}
