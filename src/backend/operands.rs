//! What the steps are given and what they write: memory of one backend, named.

use crate::backend::Backend;
use crate::element::{Compute, Element};

/// An operand that is written from another at the same places, or over it.
#[derive(Debug)]
pub enum InOut<R, W> {
    /// Read the first, write the second.
    Separate(R, W),
    /// Read and write the same memory.
    InPlace(W),
}

/// Per-channel statistics to be written, all (C,).
#[derive(Debug)]
pub struct StatisticsMut<'a, B: Backend, C: Compute> {
    /// Σx / M.
    pub mean: B::SliceMut<'a, C>,
    /// What `mean` rounds away: the mean is `mean + mean_low`. It keeps y exact where the mean is large beside the
    /// deviation.
    pub mean_low: B::SliceMut<'a, C>,
    /// Σ(x − mean)² / M.
    pub variance: B::SliceMut<'a, C>,
    /// `1 / sqrt(variance + ε)`.
    pub inv_std: B::SliceMut<'a, C>,
    /// Running statistics that follow these as soon as they are known.
    pub running: Option<RunningMut<'a, B, C>>,
}

/// Running statistics to follow a batch, both (C,). See [`Backend::update_running`].
#[derive(Debug)]
pub struct RunningMut<'a, B: Backend, C: Compute> {
    /// The running mean.
    pub mean: B::SliceMut<'a, C>,
    /// The running variance.
    pub variance: B::SliceMut<'a, C>,
    /// The weight of the batch.
    pub factor: f64,
    /// From the biased variance of the batch to the estimate that is followed.
    pub correction: f64,
}

impl<B: Backend, C: Compute> RunningMut<'_, B, C> {
    /// The same, lent on.
    pub fn relend(&mut self) -> RunningMut<'_, B, C> {
        RunningMut {
            mean: B::relend_mut(&mut self.mean),
            variance: B::relend_mut(&mut self.variance),
            factor: self.factor,
            correction: self.correction,
        }
    }
}

/// Per-channel statistics, all (C,). See [`StatisticsMut`].
#[derive(Debug)]
pub struct Statistics<'a, B: Backend, C: Compute> {
    /// Σx / M.
    pub mean: B::Slice<'a, C>,
    /// What `mean` rounds away.
    pub mean_low: B::Slice<'a, C>,
    /// Σ(x − mean)² / M.
    pub variance: B::Slice<'a, C>,
    /// `1 / sqrt(variance + ε)`.
    pub inv_std: B::Slice<'a, C>,
}

/// What x is normalized with, all (C,): `y = γ·(x − mean − mean_low)·inv_std + β`.
#[derive(Debug)]
pub struct Normalization<'a, B: Backend, C: Compute> {
    /// The mean.
    pub mean: B::Slice<'a, C>,
    /// What `mean` rounds away; zeros for running statistics.
    pub mean_low: B::Slice<'a, C>,
    /// `1 / sqrt(variance + ε)`.
    pub inv_std: B::Slice<'a, C>,
    /// γ; ones where the layer has none.
    pub gamma: B::Slice<'a, C>,
    /// β; zeros where the layer has none.
    pub beta: B::Slice<'a, C>,
}

#[expect(
    clippy::expl_impl_clone_on_copy,
    reason = "a derived one would need B: Copy"
)]
impl<B: Backend, C: Compute> Clone for Normalization<'_, B, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend, C: Compute> Copy for Normalization<'_, B, C> {}

#[expect(
    clippy::expl_impl_clone_on_copy,
    reason = "a derived one would need B: Copy"
)]
impl<B: Backend, C: Compute> Clone for Statistics<'_, B, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend, C: Compute> Copy for Statistics<'_, B, C> {}

#[expect(
    clippy::expl_impl_clone_on_copy,
    reason = "a derived one would need B: Copy"
)]
impl<B: Backend, C: Compute> Clone for Affine<'_, B, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend, C: Compute> Copy for Affine<'_, B, C> {}

/// What a training pass normalizes with beside the batch's own statistics.
#[derive(Debug)]
pub struct Affine<'a, B: Backend, C: Compute> {
    /// γ (C,).
    pub gamma: B::Slice<'a, C>,
    /// β (C,).
    pub beta: B::Slice<'a, C>,
    /// ε, above zero.
    pub epsilon: f64,
}

/// What is done to the normalized value v before it is rounded and stored.
#[derive(Debug)]
pub enum Epilogue<'a, B: Backend, T: Element> {
    /// `y = v`.
    None,
    /// `y = max(0, v)`.
    Relu,
    /// `y = v + residual`.
    Add(B::Slice<'a, T>),
    /// `y = max(0, v + residual)`; the mask remembers where y is zero, for the backward pass.
    AddRelu(B::Slice<'a, T>, Option<&'a mut B::Mask>),
}

/// Which of the incoming gradients pass: dv = dy where y was not cut off by ReLU, else 0.
#[derive(Debug)]
pub enum Gate<'a, B: Backend> {
    /// All of them.
    Open,
    /// Those where the recomputed v, rounded as it was stored, is above zero.
    Relu,
    /// Those that [`Epilogue::AddRelu`] marked.
    Mask(&'a B::Mask),
}

#[expect(
    clippy::expl_impl_clone_on_copy,
    reason = "a derived one would need B: Copy"
)]
impl<B: Backend> Clone for Gate<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Gate<'_, B> {}

/// What [`Backend::backward_reduce`] found, and over how many values per channel.
#[derive(Debug)]
pub struct GradientSums<'a, B: Backend, C: Compute> {
    /// Σ dv·x̂ (C,), which is dγ.
    pub gamma: B::Slice<'a, C>,
    /// Σ dv (C,), which is dβ.
    pub beta: B::Slice<'a, C>,
    /// M, the values per channel that were summed (of all participants, where several synchronize).
    pub count: usize,
}

/// Parameter gradients to be written, both (C,).
#[derive(Debug)]
pub struct GradientSumsMut<'a, B: Backend, C: Compute> {
    /// dγ = Σ dv·x̂.
    pub gamma: B::SliceMut<'a, C>,
    /// dβ = Σ dv.
    pub beta: B::SliceMut<'a, C>,
}

/// Where a pass took its statistics from, which decides the formula of dx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatisticsSource {
    /// The batch: mean and variance depend on x, `dx = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)`.
    Batch,
    /// Running statistics: constants, `dx = γ·inv_std·dv`.
    Running,
}
