//! Variables that are set to what no layer could be made of, as a file that is loaded into a `VarMap` does.

use batchnorm::candle::{BatchNorm, BatchNormConfig, batch_norm, error_of};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, ModuleT, VarBuilder, VarMap};

fn layer(map: &VarMap, dtype: DType) -> Result<BatchNorm> {
    batch_norm(3, 1e-5, VarBuilder::from_varmap(map, dtype, &Device::Cpu))
}

fn set(map: &VarMap, name: &str, values: &[f64], dtype: DType) -> Result<()> {
    let data = map.data().lock().expect("variables");
    data[name].set(&Tensor::new(values, &Device::Cpu)?.to_dtype(dtype)?)
}

/// Of shape (4, 3), any values.
fn input(dtype: DType) -> Result<Tensor> {
    Tensor::arange(0f32, 12., &Device::Cpu)?
        .reshape((4, 3))?
        .to_dtype(dtype)
}

/// Each pass and way to fold that reads the running statistics.
fn refusals(layer: &BatchNorm, x: &Tensor) -> Result<Vec<candle_core::Error>> {
    let mut frozen = layer.clone();
    frozen.freeze();
    let linear = Linear::new(Tensor::ones((3, 2), x.dtype(), &Device::Cpu)?, None);
    Ok([
        layer.forward_t(x, false).map(drop),
        layer.forward_t_add(x, x, false).map(drop),
        frozen.forward_t(x, true).map(drop),
        layer.scale_and_shift().map(drop),
        layer.fold_into_linear(&linear).map(drop),
        BatchNorm::try_from(candle_nn::BatchNorm::clone(layer)).map(drop),
        candle_nn::BatchNorm::try_from(layer.clone()).map(drop),
    ]
    .into_iter()
    .map(|result| result.expect_err("an error"))
    .collect())
}

#[test]
fn statistics_that_nothing_can_be_normalized_with_are_named_at_the_next_use() -> Result<()> {
    for dtype in [DType::F32, DType::F16, DType::F64] {
        for (name, wrong, said) in [
            ("running_var", -1.0, "-1.0"),
            ("running_var", f64::NAN, "NaN"),
            ("running_var", f64::INFINITY, "inf"),
            ("running_mean", f64::NAN, "NaN"),
            ("running_mean", f64::NEG_INFINITY, "-inf"),
        ] {
            let map = VarMap::new();
            let (layer, x) = (layer(&map, dtype)?, input(dtype)?);
            set(&map, name, &[1.0, wrong, 1.0], dtype)?;
            for error in refusals(&layer, &x)? {
                let reason = error_of(&error).expect("one of this crate's").to_string();
                assert!(
                    reason.contains(&format!("a {name}"))
                        && reason.contains(&format!("{said} in channel 1")),
                    "{reason}"
                );
            }
            // What a batch can have left is no mistake in training, a negative variance is.
            let trained = layer.forward_t(&x, true);
            assert_eq!(trained.is_err(), wrong == -1.0, "{name} {wrong}");
        }
    }
    Ok(())
}

/// A file of `f64` in a layer of `f32`: candle itself makes it an infinity.
#[test]
fn a_variance_beyond_the_layer_s_type_makes_no_layer() -> Result<()> {
    let of = |values: &[f64; 3]| Tensor::new(values, &Device::Cpu);
    let tensors = [
        ("weight", of(&[1.0; 3])?),
        ("bias", of(&[0.0; 3])?),
        ("running_mean", of(&[0.0; 3])?),
        ("running_var", of(&[1.0, 1.0, 1e39])?),
    ];
    let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor));
    for dtype in [DType::F32, DType::F64] {
        let vb = VarBuilder::from_tensors(tensors.clone().into(), dtype, &Device::Cpu);
        let made = batch_norm(3, 1e-5, vb);
        assert_eq!(made.is_err(), dtype == DType::F32);
        if let Err(error) = made {
            let message = error.to_string();
            assert!(message.contains("inf in channel 2"), "{message}");
        }
    }
    Ok(())
}

/// 70000 is finite, but not in f16.
#[test]
fn running_statistics_stay_finite_in_a_half_type_on_request() -> Result<()> {
    for keep_running_finite in [true, false] {
        let map = VarMap::new();
        let config = BatchNormConfig {
            momentum: 1.0,
            keep_running_finite,
            ..BatchNormConfig::default()
        };
        let vb = VarBuilder::from_varmap(&map, DType::F16, &Device::Cpu);
        let layer = batch_norm(2, config, vb)?;
        let x = Var::new(&[[1f32, -500.0], [3.0, 500.0]], &Device::Cpu)?;
        layer.forward_t(&x, true)?;
        let values = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.to_vec1::<f32>();
        assert_eq!(values(layer.running_mean())?, [2.0, 0.0]);
        let of_large = if keep_running_finite {
            1.0
        } else {
            f32::INFINITY
        };
        assert_eq!(values(layer.running_var())?, [2.0, of_large]);
    }
    Ok(())
}
