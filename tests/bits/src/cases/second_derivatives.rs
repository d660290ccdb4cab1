//! The backward pass of the backward pass, where the backend has one.

use std::fmt;

use batchnorm::backend::{Backend, GradientsOfGradients};
use batchnorm::{Activation, Data, Element, Error, Tensor};

use super::checksum::Checksum;
use super::inputs::Inputs;
use super::layer::{Pass, Setting, layer};

/// Of which gradients there are gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// Of each.
    All,
    /// Of dx, as a gradient penalty has them.
    Input,
    /// Of dγ and dβ.
    Parameters,
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Given::All => "",
            Given::Input => "/of-dx",
            Given::Parameters => "/of-dgamma-and-dbeta",
        })
    }
}

/// The name of each case and the checksum of what it leaves behind; none on a backend that has no second derivatives.
pub(super) fn checksums<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
) -> Vec<(String, u64)> {
    let (none, relu) = (Activation::None, Activation::Relu);
    let mut checksums = vec![];
    for pass in [Pass::Training, Pass::Frozen] {
        for (activation, residual, given) in [
            (none, false, Given::All),
            (none, false, Given::Input),
            (none, false, Given::Parameters),
            (relu, false, Given::All),
            (relu, true, Given::All),
        ] {
            let setting = Setting {
                pass,
                activation,
                residual,
                ghost_batches: false,
            };
            if let Some(checksum) = checksum(backend, inputs, setting, given) {
                checksums.push((format!("{setting}{given}"), checksum));
            }
        }
    }
    checksums
}

fn checksum<T: Element, B: Backend>(
    backend: &B,
    inputs: &Inputs<T>,
    setting: Setting,
    given: Given,
) -> Option<u64> {
    let shape = inputs.shape;
    let tensor = |values: &[T]| Tensor::new(backend, shape, values).unwrap();
    // Backwards, so that what is given is like none of what the pass reads.
    let reversed = |values: &[T]| tensor(&values.iter().rev().copied().collect::<Vec<_>>());
    let (x, dy, added) = (
        tensor(&inputs.x),
        tensor(&inputs.dy),
        tensor(&inputs.residual),
    );
    let residual = setting
        .residual
        .then_some(&added as &dyn Data<B, Element = T>);
    let mut layer = layer::<T, B>(backend, inputs, setting);
    // Not a number, which has to be written over.
    let poison = vec![T::from_f64(f64::NAN); shape.len()];
    let [mut y, mut of_dy, mut of_x] = [0; 3].map(|_| tensor(&poison));
    let pass = match setting.pass {
        Pass::Frozen => layer.forward_frozen_into(&x, residual, &mut y),
        _ => layer.forward_training_into(&x, residual, &mut y),
    }
    .unwrap();
    let (of_input, of_residual) = (reversed(&inputs.residual), reversed(&inputs.dy));
    let of = GradientsOfGradients {
        input: (given != Given::Parameters).then_some(&of_input as &dyn Data<B, Element = T>),
        residual: setting
            .residual
            .then_some(&of_residual as &dyn Data<B, Element = T>),
        gamma: layer.beta().filter(|_| given != Given::Input),
        beta: layer.gamma().filter(|_| given != Given::Input),
    };
    let of_gamma = match pass.double_backward_into(&dy, of, &mut of_dy, &mut of_x) {
        Err(Error::Value {
            what: "the device of second derivatives",
            ..
        }) => return None,
        other => other.unwrap().unwrap(),
    };
    let mut checksum = Checksum::new();
    checksum.add(&of_dy.to_vec().unwrap());
    checksum.add(&of_x.to_vec().unwrap());
    checksum.add(&of_gamma.to_vec().unwrap());
    Some(checksum.finish())
}
