//! Inference to bytes, where the backend has it.

use batchnorm::backend::Backend;
use batchnorm::{Activation, Data, Element, Error, Quantization, Tensor};

use super::checksum::Checksum;
use super::inputs::Inputs;
use super::layer::{Pass, Setting, layer};

/// The name of each case and the checksum of its bytes; none on a backend that does not quantize.
pub(super) fn checksums<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
) -> Vec<(String, u64)> {
    let channels = inputs.shape.channels();
    let scales: Vec<f64> = (0..channels)
        .map(|c| 0.011 + 0.003 * (c % 7) as f64)
        .collect();
    let zero_points = (-50i8..50).step_by(9).take(11).cycle();
    let zero_points: Vec<i8> = zero_points.take(channels).collect();
    let mut checksums = vec![];
    for (name, quantization) in [
        ("symmetric", Quantization::symmetric(0.021)),
        (
            "per-channel",
            Quantization::per_channel(&scales, &zero_points),
        ),
    ] {
        for (activation, residual) in [
            (Activation::None, false),
            (Activation::Relu, true),
            (Activation::Silu, false),
        ] {
            let setting = Setting {
                pass: Pass::Inference,
                activation,
                residual,
                ghost_batches: false,
            };
            let quantization = quantization.as_ref().unwrap();
            if let Some(checksum) = checksum(backend, inputs, setting, quantization) {
                checksums.push((format!("{name}/{setting}"), checksum));
            }
        }
    }
    checksums
}

fn checksum<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
    setting: Setting,
    quantization: &Quantization,
) -> Option<u64> {
    let tensor = |values: &[T]| Tensor::new(backend, inputs.shape, values).unwrap();
    let added = setting.residual.then(|| tensor(&inputs.residual));
    let residual = added
        .as_ref()
        .map(|residual| residual as &dyn Data<B, Element = T>);
    let layer = layer::<T, B>(backend, inputs, setting);
    let mut q = vec![77; inputs.shape.len()];
    match layer.forward_quantized_into(&tensor(&inputs.x), residual, quantization, &mut q) {
        Err(Error::Value {
            what: "the device of quantized inference",
            ..
        }) => return None,
        other => other.unwrap(),
    }
    let mut checksum = Checksum::new();
    for q in q {
        checksum.add_word(u64::from(q.cast_unsigned()));
    }
    Some(checksum.finish())
}
