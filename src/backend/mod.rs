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

pub(crate) mod checks;
pub mod composed;
pub(crate) mod operands;

use std::fmt::Debug;
use std::ops::Range;

pub use operands::{
    Affine, Epilogue, Gate, GradientSums, GradientSumsMut, InOut, Normalization, RunningMut,
    Statistics, StatisticsMut, StatisticsSource,
};

use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

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
    /// A mask for arrays of `T` of this shape.
    ///
    /// # Errors
    /// When the device has no room.
    fn mask<T: Element>(&self, shape: &Shape) -> Result<Self::Mask>;
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
    /// Lends on, for reading, a part of what was lent.
    ///
    /// # Errors
    /// [`crate::Error::Length`] when the range is not in it.
    fn part<'a, T: Element>(
        slice: &'a Self::Slice<'_, T>,
        range: Range<usize>,
    ) -> Result<Self::Slice<'a, T>>;
    /// Lends on, for writing, a part of what was lent for writing.
    ///
    /// # Errors
    /// As [`part`](Self::part).
    fn part_mut<'a, T: Element>(
        slice: &'a mut Self::SliceMut<'_, T>,
        range: Range<usize>,
    ) -> Result<Self::SliceMut<'a, T>>;
    /// The number of values lent.
    fn len<T: Element>(slice: &Self::Slice<'_, T>) -> usize;

    /// Step 1: mean and variance of each channel, and `1 / sqrt(variance + ε)`; and step 2, if running statistics are to
    /// follow at once.
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

pub(crate) mod sealed {
    /// Keeps the contract's implementations in this crate.
    pub trait Sealed {}
}
