//! Passes that keep y instead of x, where the backend has them.

use batchnorm::backend::Backend;
use batchnorm::{Activation, Data, Element, Error, OutputPass, Result, Tensor};

use super::checksum::Checksum;
use super::inputs::Inputs;
use super::layer::{Pass, Setting, add_gradients, add_running, layer};

/// Whether y is written over x.
const IN_PLACE: [bool; 2] = [true, false];

/// The name of each case and the checksum of what it leaves behind; none on a backend that has no such pass.
pub(super) fn checksums<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
) -> Vec<(String, u64)> {
    let mut checksums = vec![];
    for pass in [Pass::Training, Pass::Frozen] {
        for activation in Activation::all(0.1, 0.7).filter(|one| one.has_inverse()) {
            for residual in [false, true] {
                let setting = Setting {
                    pass,
                    activation,
                    residual,
                    ghost_batches: false,
                };
                for in_place in IN_PLACE {
                    if let Some(checksum) = checksum(backend, inputs, setting, in_place) {
                        let way = if in_place { "over-x" } else { "beside-x" };
                        checksums.push((format!("{setting}/{way}"), checksum));
                    }
                }
            }
        }
    }
    checksums
}

fn checksum<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
    setting: Setting,
    in_place: bool,
) -> Option<u64> {
    let tensor = |values: &[T]| Tensor::new(backend, inputs.shape, values).unwrap();
    let (x, dy, residual) = (
        tensor(&inputs.x),
        tensor(&inputs.dy),
        tensor(&inputs.residual),
    );
    let added = (setting.residual).then_some(&residual as &dyn Data<B, Element = T>);
    // Not a number, which has to be written over.
    let y = tensor(&vec![T::from_f64(f64::NAN); inputs.shape.len()]);
    let mut layer = layer::<T, B>(backend, inputs, setting);
    let pass: Result<OutputPass<Tensor<T, B>, B>> = match (setting.pass, in_place) {
        (Pass::Frozen, true) => layer.forward_frozen_in_place(x, added),
        (Pass::Frozen, false) => layer.forward_frozen_keeping_output(&x, added, y),
        (_, true) => layer.forward_training_in_place(x, added),
        (_, false) => layer.forward_training_keeping_output(&x, added, y),
    };
    let pass = match pass {
        Err(Error::Value {
            what: "the device of a pass that keeps y instead of x",
            ..
        }) => return None,
        other => other.unwrap(),
    };
    let mut checksum = Checksum::new();
    checksum.add(&pass.output().to_vec().unwrap());
    add_running(&mut checksum, &layer);
    let gradients = if setting.residual {
        pass.backward_add(&residual, &dy)
    } else {
        pass.backward(&dy)
    };
    add_gradients(&mut checksum, &gradients.unwrap());
    Some(checksum.finish())
}
