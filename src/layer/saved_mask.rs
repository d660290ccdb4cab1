//! What a pass remembers of its activation.

use crate::backend::Backend;
use crate::backend::operands::Gate;
use crate::config::Activation;
use crate::element::Element;
use crate::error::Result;
use crate::shape::Shape;

/// Which gradients pass the activation.
#[derive(Debug)]
pub(crate) enum PassGate<B: Backend> {
    Open,
    Relu,
    Mask(B::Mask),
}

impl<B: Backend> PassGate<B> {
    /// What must be remembered of this activation.
    pub(crate) fn of<T: Element>(
        backend: &B,
        shape: &Shape,
        activation: Activation,
        has_residual: bool,
    ) -> Result<Self> {
        Ok(match (activation, has_residual) {
            (Activation::None, _) => PassGate::Open,
            (Activation::Relu, false) => PassGate::Relu,
            (Activation::Relu, true) => PassGate::Mask(backend.mask::<T>(shape)?),
        })
    }

    pub(crate) fn mask_mut(&mut self) -> Option<&mut B::Mask> {
        match self {
            PassGate::Mask(mask) => Some(mask),
            PassGate::Open | PassGate::Relu => None,
        }
    }

    pub(crate) fn lend(&self) -> Gate<'_, B> {
        match self {
            PassGate::Open => Gate::Open,
            PassGate::Relu => Gate::Relu,
            PassGate::Mask(mask) => Gate::Mask(mask),
        }
    }
}
