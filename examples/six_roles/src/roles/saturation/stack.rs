//! Stacks of saturating layers.

use candle_core::Result;

use crate::context::Context;
use crate::initialization::Weights;
use crate::network::{Activation, Architecture, Network};
use crate::normalization::Normalize;

/// Layers of 100 units each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Stack {
    pub(super) activation: Activation,
    pub(super) depth: usize,
}

impl Stack {
    pub(super) const fn sigmoid(depth: usize) -> Self {
        let activation = Activation::Sigmoid;
        Self { activation, depth }
    }

    pub(super) fn name(self) -> String {
        format!("{} x 100 {}", self.depth, self.activation.name())
    }

    pub(super) fn network(
        self,
        normalize: Normalize,
        seed: u64,
        context: &Context,
    ) -> Result<Network> {
        let weights = match self.activation {
            Activation::Sigmoid => Weights::Deviation(0.1),
            Activation::Tanh | Activation::Relu => Weights::Xavier,
        };
        let architecture =
            Architecture::new((self.depth, 100), self.activation, weights, normalize);
        Network::new(&architecture, seed, &context.device)
    }
}

pub(super) const TANH: Stack = Stack {
    activation: Activation::Tanh,
    depth: 3,
};
