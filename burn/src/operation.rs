//! The passes as operations of burn's, which finds the backend of its tensors when they run.

use std::fmt;
use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, ExtensionType, backend_extension};

/// What a forward pass with the batch's statistics gives, without what only its backward pass needs.
#[derive(ExtensionType)]
pub(crate) struct Trained<B: Backend> {
    /// Of x's shape.
    pub(crate) output: FloatTensor<B>,
    /// (C,)
    pub(crate) mean: FloatTensor<B>,
    /// The biased variance (C,).
    pub(crate) variance: FloatTensor<B>,
}

/// Both forward passes; x is (N, C, spatial...), all else (C,).
#[backend_extension(Flex, Autodiff)]
pub(crate) trait FusedBatchNorm: Backend {
    /// With the statistics of the batch, of two values per channel or more.
    fn normalize_with_batch(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> Trained<Self>;

    /// With statistics that are constants.
    fn normalize_with_running(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;
}

/// The same for a backend that does both passes itself, of which the backward pass is handed over.
pub(crate) trait BothPasses: Backend {
    /// With the statistics of the batch.
    fn train(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (Trained<Self>, Arc<dyn BackwardPass<Self>>);

    /// With statistics that are constants.
    fn freeze(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, Arc<dyn BackwardPass<Self>>);
}

/// A backward pass that knows the statistics of its forward pass.
pub(crate) trait BackwardPass<B: Backend>: Send + Sync + fmt::Debug {
    /// All gradients, x and γ being those of the forward pass.
    fn backward(
        &self,
        x: FloatTensor<B>,
        gamma: FloatTensor<B>,
        dy: FloatTensor<B>,
    ) -> Gradients<B>;
}

/// Of the operands of a forward pass.
pub(crate) struct Gradients<B: Backend> {
    /// Of x's shape.
    pub(crate) x: FloatTensor<B>,
    /// (C,)
    pub(crate) gamma: FloatTensor<B>,
    /// (C,)
    pub(crate) beta: FloatTensor<B>,
}
