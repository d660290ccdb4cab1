//! Batches of which not all is kept, where the backend has kernels for them.

use batchnorm::backend::Backend;
use batchnorm::{Data, Element, Error, Kept, Shape, Tensor};

use super::checksum::Checksum;
use super::inputs::Inputs;
use super::layer::{Pass, Setting, add_gradients, add_running, add_statistics, layer};
use super::some_settings;

/// The name of each case and the checksum of what it leaves behind; none on a backend that cannot.
pub(super) fn checksums<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
) -> Vec<(String, u64)> {
    let mut checksums = vec![];
    for (way, kept) in ways(&inputs.shape) {
        for setting in some_settings() {
            if let Some(checksum) = checksum(backend, inputs, setting, &kept) {
                checksums.push((format!("{way}/{setting}"), checksum));
            }
        }
    }
    checksums
}

/// Lengths, scattered places, and weights.
fn ways(shape: &Shape) -> [(&'static str, Kept); 3] {
    let (samples, positions) = (shape.batch(), shape.spatial());
    let lengths: Vec<usize> = (0..samples)
        .map(|n| (positions * (n * 5 % 7 + 1)).div_ceil(8))
        .collect();
    let places: Vec<bool> = (0..samples * positions).map(|i| i * i % 11 < 6).collect();
    let weights: Vec<f64> = (0..samples * positions)
        .map(|i| (i % 5) as f64 * 0.3)
        .collect();
    [
        ("lengths", Kept::lengths(shape, &lengths).unwrap()),
        ("places", Kept::places(shape, &places).unwrap()),
        ("weights", Kept::weights(shape, &weights).unwrap()),
    ]
}

fn checksum<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
    setting: Setting,
    kept: &Kept,
) -> Option<u64> {
    let tensor = |values: &[T]| Tensor::new(backend, inputs.shape, values).unwrap();
    let (x, added) = (kept.of(tensor(&inputs.x)), tensor(&inputs.residual));
    let residual = setting
        .residual
        .then_some(&added as &dyn Data<B, Element = T>);
    let mut y = tensor(&vec![T::from_f64(f64::NAN); inputs.shape.len()]);
    let mut layer = layer::<T, B>(backend, inputs, setting);
    let mut checksum = Checksum::new();
    let pass = match setting.pass {
        Pass::Frozen => layer.forward_frozen_into(&x, residual, &mut y),
        Pass::Inference => {
            let found = layer.forward_inference_into(&x, residual, &mut y);
            if is_not_there(found.as_ref().err()) {
                return None;
            }
            found.unwrap();
            checksum.add(&y.to_vec().unwrap());
            return Some(checksum.finish());
        }
        _ => layer.forward_training_into(&x, residual, &mut y),
    };
    if is_not_there(pass.as_ref().err()) {
        return None;
    }
    let pass = pass.unwrap();
    checksum.add(&y.to_vec().unwrap());
    add_running(&mut checksum, &layer);
    for statistics in pass.statistics() {
        add_statistics(&mut checksum, statistics);
    }
    add_gradients(&mut checksum, &pass.backward(&tensor(&inputs.dy)).unwrap());
    Some(checksum.finish())
}

fn is_not_there(error: Option<&Error>) -> bool {
    let what_it_says = "the device of a batch of which not all is kept";
    matches!(error, Some(Error::Value { what, .. }) if *what == what_it_says)
}
