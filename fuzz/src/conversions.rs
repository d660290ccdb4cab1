//! Parameters of other frameworks, of any lengths and values: refused, or converted there and back without a change; and what
//! is folded from them.

use crate::CPU;
use arbitrary::{Arbitrary, Result, Unstructured};
use batchnorm::{BatchNorm, Cpu, FlaxParameters, KerasParameters, OnnxParameters};

/// The target.
pub fn target(bytes: &[u8]) {
    let _ = conversions(&mut Unstructured::new(bytes));
}

/// Usually of one length.
fn array(bytes: &mut Unstructured<'_>, len: usize) -> Result<Vec<f32>> {
    let len = match bytes.int_in_range(0..=30)? {
        0 => bytes.int_in_range(0..=9)?,
        _ => len,
    };
    let value = |bytes: &mut Unstructured<'_>| match u8::arbitrary(bytes)? {
        255 => f32::arbitrary(bytes),
        small => Ok(f32::from(small) / 8.0),
    };
    (0..len).map(|_| value(bytes)).collect()
}

fn optional(bytes: &mut Unstructured<'_>, len: usize) -> Result<Option<Vec<f32>>> {
    Ok(if bool::arbitrary(bytes)? {
        Some(array(bytes, len)?)
    } else {
        None
    })
}

fn number(bytes: &mut Unstructured<'_>) -> Result<f64> {
    match u8::arbitrary(bytes)? {
        255 => f64::arbitrary(bytes),
        small => Ok(f64::from(small) / 254.0),
    }
}

/// NaN is NaN.
fn same(a: &[f32], b: &[f32]) -> bool {
    let both = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
    a.len() == b.len() && a.iter().zip(b).all(both)
}

fn conversions(bytes: &mut Unstructured<'_>) -> Result<()> {
    let cpu = &*CPU;
    let len = bytes.int_in_range(0..=9)?;
    let (mean, variance) = (array(bytes, len)?, array(bytes, len)?);
    let (gamma, beta) = (optional(bytes, len)?, optional(bytes, len)?);
    let (momentum, epsilon) = (number(bytes)?, number(bytes)?);
    let keras = KerasParameters {
        gamma: gamma.clone(),
        beta: beta.clone(),
        moving_mean: mean.clone(),
        moving_variance: variance.clone(),
        momentum,
        epsilon,
    };
    let flax = FlaxParameters {
        scale: gamma.clone(),
        bias: beta.clone(),
        mean: mean.clone(),
        var: variance.clone(),
        momentum,
        epsilon,
    };
    let from_keras = BatchNorm::from_keras(cpu, &keras);
    let from_flax = BatchNorm::from_flax(cpu, &flax);
    assert_eq!(from_keras.is_ok(), from_flax.is_ok());
    if let (Some(scale), Some(b)) = (gamma, beta) {
        let onnx = OnnxParameters {
            scale,
            b,
            input_mean: mean,
            input_var: variance,
            momentum,
            epsilon,
        };
        let from_onnx = BatchNorm::from_onnx(cpu, &onnx);
        assert_eq!(from_onnx.is_ok(), from_keras.is_ok());
        if let Ok(layer) = from_onnx {
            let again = layer.to_onnx().expect("as it came");
            assert!(same(&again.scale, &onnx.scale) && same(&again.input_var, &onnx.input_var));
        }
    }
    let Ok(layer) = from_keras else {
        return Ok(());
    };
    let again = layer.to_keras().expect("as it came");
    assert!(same(&again.moving_mean, &keras.moving_mean));
    assert!(same(&again.moving_variance, &keras.moving_variance));
    assert_eq!(again.epsilon, keras.epsilon);
    fold(bytes, &layer)
}

/// Dimensions and lengths of any kind.
fn fold(bytes: &mut Unstructured<'_>, layer: &BatchNorm<Cpu>) -> Result<()> {
    let channels = layer.config().channels();
    let folded = layer.scale_and_shift().expect("running statistics");
    assert_eq!(
        (folded.scale.len(), folded.shift.len()),
        (channels, channels)
    );
    let rank = bytes.int_in_range(0..=5)?;
    let dims: Vec<usize> = (0..rank)
        .map(|_| match bytes.int_in_range(0..=12)? {
            10 => Ok(channels),
            11 => usize::arbitrary(bytes),
            size => Ok(size),
        })
        .collect::<Result<_>>()?;
    let product = dims.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    let weight = array(bytes, product.unwrap_or(0).min(2000))?;
    let bias = optional(bytes, channels)?;
    let groups = bytes.int_in_range(0..=4)?;
    let results = [
        layer.fold_into_linear(&weight, &dims, bias.as_deref()),
        layer.fold_into_convolution(&weight, &dims, bias.as_deref()),
        layer.fold_into_transposed_convolution(&weight, &dims, groups, bias.as_deref()),
    ];
    for folded in results.into_iter().flatten() {
        assert_eq!(
            (folded.weight.len(), folded.bias.len()),
            (weight.len(), channels)
        );
    }
    Ok(())
}
