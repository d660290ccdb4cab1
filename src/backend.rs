//! THE CONTRACT: batch normalization is five steps, and a backend is whoever can do the five steps.
//!
//! | step | method | PyTorch's word |
//! |---|---|---|
//! | reduce x | [`Backend::statistics`] | `batch_norm_stats` |
//! | follow the batches | [`Backend::update_running`] | `batch_norm_update_stats` |
//! | x → y | [`Backend::normalize`] | `batch_norm_elemt` |
//! | reduce dy | [`Backend::backward_reduce`] | `batch_norm_backward_reduce` |
//! | dy → dx | [`Backend::backward_input`] | `batch_norm_backward_elemt` |
//!
//! [`Backend::forward_training`] and [`Backend::backward`] are the steps in order; [`composed`] is that composition,
//! which is their meaning and what they are tested against. A backend overrides them with fused forms that read memory
//! fewer times. The steps stay public: synchronized, masked and other batch norms are built from them.
//!
//! Every method checks every length before it writes anything.

use std::fmt::Debug;

use crate::{Compute, Element, Result, Shape};

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

impl<B: Backend, C: Compute> Clone for Normalization<'_, B, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend, C: Compute> Copy for Normalization<'_, B, C> {}

impl<B: Backend, C: Compute> Clone for Statistics<'_, B, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend, C: Compute> Copy for Statistics<'_, B, C> {}

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

/// Memory and the five steps. Sealed.
///
/// x, y, dy, dx are (N, C, S) of `T` in either layout; per-channel arrays are (C,) of `T::Compute`.
pub trait Backend: sealed::Sealed + Clone + Debug + Send + Sync + 'static {
    /// Memory the backend owns.
    type Buffer<T: Element>: Debug + Send + Sync;
    /// Memory lent for reading.
    type Slice<'a, T: Element>: Copy + Debug;
    /// Memory lent for writing.
    type SliceMut<'a, T: Element>: Debug;
    /// One bit a value, in the backend's own order.
    type Mask: Debug + Send + Sync;

    /// New memory, zeroed.
    ///
    /// # Errors
    /// When the device has no room.
    fn zeros<T: Element>(&self, len: usize) -> Result<Self::Buffer<T>>;
    /// New memory with these values.
    ///
    /// # Errors
    /// When the device has no room.
    fn upload<T: Element>(&self, values: &[T]) -> Result<Self::Buffer<T>>;
    /// The values of some memory.
    ///
    /// # Errors
    /// When the device fails.
    fn download<T: Element>(&self, memory: Self::Slice<'_, T>) -> Result<Vec<T>>;
    /// Copies memory to memory of the same length.
    ///
    /// # Errors
    /// [`crate::Error::Length`] when the lengths differ.
    fn copy<T: Element>(&self, from: Self::Slice<'_, T>, to: Self::SliceMut<'_, T>) -> Result<()>;
    /// A mask for arrays of this shape.
    ///
    /// # Errors
    /// When the device has no room.
    fn mask(&self, shape: &Shape) -> Result<Self::Mask>;
    /// Lends a buffer for reading.
    fn lend<T: Element>(buffer: &Self::Buffer<T>) -> Self::Slice<'_, T>;
    /// Lends a buffer for writing.
    fn lend_mut<T: Element>(buffer: &mut Self::Buffer<T>) -> Self::SliceMut<'_, T>;
    /// Lends on, for reading, what was lent for writing.
    fn relend<'a, T: Element>(slice: &'a Self::SliceMut<'_, T>) -> Self::Slice<'a, T>;
    /// Lends on, for writing, what was lent for writing.
    fn relend_mut<'a, T: Element>(slice: &'a mut Self::SliceMut<'_, T>) -> Self::SliceMut<'a, T>;
    /// The same memory, lent for a shorter time.
    fn narrow<'short, 'long: 'short, T: Element>(
        slice: Self::Slice<'long, T>,
    ) -> Self::Slice<'short, T>;
    /// The number of values lent.
    fn len<T: Element>(slice: &Self::Slice<'_, T>) -> usize;

    /// Step 1: mean and variance of each channel, and `1 / sqrt(variance + ε)`.
    ///
    /// # Errors
    /// [`crate::Error::Length`]; [`crate::Error::Epsilon`] unless ε is finite and above zero;
    /// [`crate::Error::TooFewValues`] for no values (one is a mean of its own).
    fn statistics<T: Element>(
        &self,
        shape: &Shape,
        x: Self::Slice<'_, T>,
        epsilon: f64,
        out: StatisticsMut<'_, Self, T::Compute>,
    ) -> Result<()>;

    /// `inv_std = 1 / sqrt(variance + ε)`, for running statistics.
    ///
    /// # Errors
    /// [`crate::Error::Length`]; [`crate::Error::Epsilon`] if ε is not finite or negative.
    fn inverse_std<C: Compute>(
        &self,
        variance: Self::Slice<'_, C>,
        epsilon: f64,
        inv_std: Self::SliceMut<'_, C>,
    ) -> Result<()>;

    /// Step 2: `running = (1 − factor)·running + factor·batch`, the batch's variance times `correction`
    /// (M/(M−1) for the unbiased estimate).
    ///
    /// # Errors
    /// [`crate::Error::Length`].
    fn update_running<C: Compute>(
        &self,
        batch: Statistics<'_, Self, C>,
        factor: f64,
        correction: f64,
        running_mean: Self::SliceMut<'_, C>,
        running_variance: Self::SliceMut<'_, C>,
    ) -> Result<()>;

    /// Step 3: `y = epilogue(γ·(x − mean)·inv_std + β)`, rounded once.
    ///
    /// # Errors
    /// [`crate::Error::Length`].
    fn normalize<T: Element>(
        &self,
        shape: &Shape,
        x_to_y: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
        with: Normalization<'_, Self, T::Compute>,
        epilogue: Epilogue<'_, Self, T>,
    ) -> Result<()>;

    /// Step 4: dγ = Σ dv·x̂ and dβ = Σ dv, with dv = dy behind the gate and x̂ = (x − mean)·inv_std.
    ///
    /// # Errors
    /// [`crate::Error::Length`].
    fn backward_reduce<T: Element>(
        &self,
        shape: &Shape,
        dy: Self::Slice<'_, T>,
        x: Self::Slice<'_, T>,
        with: Normalization<'_, Self, T::Compute>,
        gate: Gate<'_, Self>,
        out: GradientSumsMut<'_, Self, T::Compute>,
    ) -> Result<()>;

    /// Step 5: dx, by [`StatisticsSource::Batch`]'s formula if sums are given and by
    /// [`StatisticsSource::Running`]'s if not; and on request the residual's gradient, which is dv.
    ///
    /// # Errors
    /// [`crate::Error::Length`].
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    fn backward_input<T: Element>(
        &self,
        shape: &Shape,
        dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
        x: Self::Slice<'_, T>,
        with: Normalization<'_, Self, T::Compute>,
        gate: Gate<'_, Self>,
        sums: Option<GradientSums<'_, Self, T::Compute>>,
        dresidual: Option<Self::SliceMut<'_, T>>,
    ) -> Result<()>;

    /// Steps 1 and 3: y normalized with the batch's own statistics, which are written to `out`.
    ///
    /// # Errors
    /// As the steps.
    fn forward_training<T: Element>(
        &self,
        shape: &Shape,
        x: Self::Slice<'_, T>,
        affine: Affine<'_, Self, T::Compute>,
        epilogue: Epilogue<'_, Self, T>,
        y: Self::SliceMut<'_, T>,
        out: StatisticsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        composed::forward_training(self, shape, x, affine, epilogue, y, out)
    }

    /// Steps 4 and 5: all gradients.
    ///
    /// # Errors
    /// As the steps.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    fn backward<T: Element>(
        &self,
        shape: &Shape,
        dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
        x: Self::Slice<'_, T>,
        with: Normalization<'_, Self, T::Compute>,
        source: StatisticsSource,
        gate: Gate<'_, Self>,
        dresidual: Option<Self::SliceMut<'_, T>>,
        out: GradientSumsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        composed::backward(self, shape, dy_to_dx, x, with, source, gate, dresidual, out)
    }
}

/// The fused operations as compositions of the steps: their meaning.
pub mod composed {
    use super::{
        Affine, Backend, Epilogue, Gate, GradientSums, GradientSumsMut, InOut, Normalization,
        StatisticsMut, StatisticsSource,
    };
    use crate::{Element, Result, Shape};

    /// See [`Backend::forward_training`].
    ///
    /// # Errors
    /// As the steps.
    pub fn forward_training<B: Backend, T: Element>(
        backend: &B,
        shape: &Shape,
        x: B::Slice<'_, T>,
        affine: Affine<'_, B, T::Compute>,
        epilogue: Epilogue<'_, B, T>,
        y: B::SliceMut<'_, T>,
        mut out: StatisticsMut<'_, B, T::Compute>,
    ) -> Result<()> {
        let written = StatisticsMut {
            mean: B::relend_mut(&mut out.mean),
            mean_low: B::relend_mut(&mut out.mean_low),
            variance: B::relend_mut(&mut out.variance),
            inv_std: B::relend_mut(&mut out.inv_std),
        };
        backend.statistics::<T>(shape, x, affine.epsilon, written)?;
        let with = Normalization {
            mean: B::relend(&out.mean),
            mean_low: B::relend(&out.mean_low),
            inv_std: B::relend(&out.inv_std),
            gamma: B::narrow(affine.gamma),
            beta: B::narrow(affine.beta),
        };
        backend.normalize(shape, InOut::Separate(x, y), with, epilogue)
    }

    /// See [`Backend::backward`].
    ///
    /// # Errors
    /// As the steps.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    pub fn backward<B: Backend, T: Element>(
        backend: &B,
        shape: &Shape,
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        x: B::Slice<'_, T>,
        with: Normalization<'_, B, T::Compute>,
        source: StatisticsSource,
        gate: Gate<'_, B>,
        dresidual: Option<B::SliceMut<'_, T>>,
        mut out: GradientSumsMut<'_, B, T::Compute>,
    ) -> Result<()> {
        let dy = match &dy_to_dx {
            InOut::Separate(dy, _) => B::narrow(*dy),
            InOut::InPlace(both) => B::relend(both),
        };
        let written = GradientSumsMut {
            gamma: B::relend_mut(&mut out.gamma),
            beta: B::relend_mut(&mut out.beta),
        };
        backend.backward_reduce(shape, dy, x, with, gate, written)?;
        let sums = (source == StatisticsSource::Batch).then(|| GradientSums {
            gamma: B::relend(&out.gamma),
            beta: B::relend(&out.beta),
            count: shape.values_per_channel(),
        });
        backend.backward_input(shape, dy_to_dx, x, with, gate, sums, dresidual)
    }
}

pub(crate) mod sealed {
    /// Keeps the contract's implementations in this crate.
    pub trait Sealed {}
}
