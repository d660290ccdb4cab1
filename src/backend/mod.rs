//! THE CONTRACT: batch normalization is five steps, and a backend is whoever has memory ([`Memory`]) and can do the steps on it (`Steps`):
//! these two are what it implements. [`Backend`] has what callers call, which checks and hands on.
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
//! which is their meaning and what they are tested against. Backends have fused forms of them that read memory fewer
//! times, and call the composition where they have none. The steps stay public: synchronized, masked and other batch norms are built from them. The three whose results several
//! may have to put together come in another form, which answers on the host in `f64` (unrounded on the processor): [`Backend::statistics_in_f64`],
//! [`Backend::backward_reduce_in_f64`] and [`Backend::backward_input_in_f64`].
//!
//! Every method checks every length before it writes anything.

pub(crate) mod activation;
pub(crate) mod batch;
pub(crate) mod checked;
pub(crate) mod checks;
pub mod composed;
pub(crate) mod double_backward;
pub(crate) mod epilogue;
pub(crate) mod factors;
pub(crate) mod from_output;
pub(crate) mod host_slices;
pub(crate) mod kept;
pub(crate) mod memory;
pub(crate) mod operands;
pub(crate) mod saved_activation;
pub(crate) mod steps;

pub use activation::Activation;
pub use batch::Batch;
pub use epilogue::{ActivationBackward, Epilogue};
pub use memory::{Memory, check_copy, check_range};
pub use operands::{
    Affine, GradientSums, GradientSumsMut, GradientsOfGradients, InOut, MomentsMut, Normalization,
    RenormalizedMut, RunningMut, RunningReference, SecondGradientsMut, Statistics, StatisticsMut,
    StatisticsSource,
};
pub use saved_activation::SavedActivation;

use crate::backend::checked::Checked;
use crate::backend::checks::{
    check_backward, check_count_of_kept, check_epilogue, check_forward, check_gradients_out,
    check_in_out, check_inverse_std, check_kept_backward, check_moments_out, check_normalization,
    check_reduce, check_reference, check_renormalize, check_renormalized_out, check_running,
    check_statistics_out, check_sums, check_sums_in_f64, check_sums_out_in_f64, check_values,
    checked_batch,
};
use crate::backend::double_backward::check_double_backward;
use crate::backend::steps::Steps;
use crate::config::checks::{check_inference_epsilon, check_training_epsilon};
use crate::config::quantization::Quantization;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

/// [`Memory`] and the five steps. Sealed: the CPU, every GPU, and [`Device`](crate::Device), which is either.
///
/// x, y, dy, dx are (N, C, S) of `T` in either layout; per-channel arrays are (C,) of `T::Compute`. A [`Batch`] is their shape, or with it
/// what of x is [`Kept`](crate::Kept): the formulas are then the ones there, and values elsewhere have no effect. (On the processor: a GPU
/// has no kernels for that yet, which is a [`crate::Error::Value`].)
#[expect(
    clippy::too_many_arguments,
    reason = "inputs, outputs and what lies between"
)]
pub trait Backend: Steps {
    /// A mask for arrays of `T` of this shape.
    ///
    /// # Errors
    /// When the device has no room.
    fn mask<T: Element>(&self, shape: &Shape) -> Result<Self::Mask> {
        self.new_mask::<T>(shape)
    }

    /// Step 1: mean and variance of each channel, and `1 / sqrt(variance + ε)`; and step 2, if running statistics are to
    /// follow at once.
    ///
    /// # Errors
    /// [`crate::Error::Length`]; [`crate::Error::Epsilon`] unless ε is finite and above zero;
    /// [`crate::Error::TooFewValues`] for no values (one is a mean of its own); for running statistics as
    /// [`update_running`](Self::update_running).
    fn statistics<'b, T: Element>(
        &self,
        batch: impl Into<Batch<'b>>,
        x: Self::Slice<'_, T>,
        epsilon: f64,
        out: StatisticsMut<Self::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let Batch { shape, kept } = checked_batch(batch)?;
        shape.check_len("x", Self::len::<T>(&x))?;
        check_statistics_out::<Self, T::Compute>(shape, &out)?;
        check_training_epsilon(epsilon)?;
        check_values(shape, kept, 1)?;
        let checked = Checked::new();
        match kept {
            None => self.run_statistics::<T>(checked, shape, x, epsilon, out),
            Some(kept) => self.run_statistics_of_kept::<T>(checked, shape, kept, x, epsilon, out),
        }
    }

    /// Step 1, for statistics that are still to be merged with others': mean and Σ(x − mean)² of each channel, in `f64` on the
    /// host. Of x that is not cut into parts these are the moments that [`forward_training`](Self::forward_training) makes its
    /// statistics of. (A GPU's kernels round them to the compute type; the call then waits for the device.)
    ///
    /// # Errors
    /// [`crate::Error::Length`]; [`crate::Error::TooFewValues`] for no values.
    fn statistics_in_f64<T: Element>(
        &self,
        shape: &Shape,
        x: Self::Slice<'_, T>,
        out: MomentsMut<'_>,
    ) -> Result<()> {
        shape.check_len("x", Self::len::<T>(&x))?;
        check_moments_out(shape, &out)?;
        check_values(shape, None, 1)?;
        self.run_statistics_in_f64::<T>(Checked::new(), shape, x, out)
    }

    /// `inv_std = 1 / sqrt(variance + ε)`, for running statistics.
    ///
    /// # Errors
    /// [`crate::Error::Length`]; [`crate::Error::Epsilon`] if ε is not finite or negative.
    fn inverse_std<C: Compute>(
        &self,
        variance: Self::Slice<'_, C>,
        epsilon: f64,
        inv_std: Self::SliceMut<'_, C>,
    ) -> Result<()> {
        check_inverse_std::<Self, C>(&variance, &inv_std)?;
        check_inference_epsilon(epsilon)?;
        if Self::len::<C>(&variance) == 0 {
            return Ok(());
        }
        self.run_inverse_std::<C>(Checked::new(), variance, epsilon, inv_std)
    }

    /// Step 2: `running = (1 − factor)·running + factor·batch`, the batch's variance times `correction`
    /// (M/(M−1) for the unbiased estimate); where `only_finite` asks for it, not in a channel where that is not finite. A variance
    /// that is infinite because the type ends before it is taken from `inv_std`.
    ///
    /// # Errors
    /// [`crate::Error::Length`]; [`crate::Error::Momentum`] for a factor outside 0 to 1; [`crate::Error::Value`] for a
    /// correction that is negative or not finite, as that of one value per channel is.
    fn update_running<C: Compute>(
        &self,
        batch: Statistics<Self::Slice<'_, C>>,
        running: RunningMut<Self::SliceMut<'_, C>>,
    ) -> Result<()> {
        check_running::<Self, C>(&batch, &running)?;
        if Self::len::<C>(&batch.mean) == 0 {
            return Ok(());
        }
        self.run_update_running::<C>(Checked::new(), batch, running)
    }

    /// Between steps 1 and 3, where a batch is renormalized: γ' = γ·R and β' = β + γ·D, with which the other steps are those of batch
    /// renormalization, and R and D themselves. `with` has the batch's statistics, γ and β; the running statistics are those of before
    /// the batch, so step 2 comes after this. With s = sqrt(running variance + ε)
    ///
    /// ```text
    /// R = clip(1 / (inv_std·s), 1/r_max, r_max),   D = clip((mean − running mean) / s, −d_max, d_max)
    /// ```
    ///
    /// R and D are constants to the gradients: dx and dβ are those that [`backward`](Self::backward) gives with γ' and β', and of its
    /// other sum and theirs dγ is `R·Σ dv·x̂ + D·Σ dv`. (A GPU has no kernel for this yet: these few numbers are computed on the host,
    /// and the call waits for the device.) Source: Ioffe 2017, algorithm 1.
    ///
    /// # Errors
    /// [`crate::Error::Length`]; [`crate::Error::Epsilon`] unless ε is finite and above zero; [`crate::Error::Value`] for limits that are
    /// not finite, r_max below 1 and d_max below 0.
    fn renormalize<C: Compute>(
        &self,
        with: Normalization<Self::Slice<'_, C>>,
        epsilon: f64,
        reference: RunningReference<Self::Slice<'_, C>>,
        out: RenormalizedMut<Self::SliceMut<'_, C>>,
    ) -> Result<()> {
        check_renormalize::<Self, C>(&with, &reference, &out)?;
        check_training_epsilon(epsilon)?;
        if Self::len::<C>(&with.mean) == 0 {
            return Ok(());
        }
        self.run_renormalize::<C>(Checked::new(), with, epsilon, reference, out)
    }

    /// Step 3: `y = epilogue(γ·(x − mean)·inv_std + β)`, rounded once.
    ///
    /// # Errors
    /// [`crate::Error::Length`]; [`crate::Error::Value`] if the activation does not save what it is given to save.
    fn normalize<'b, T: Element>(
        &self,
        batch: impl Into<Batch<'b>>,
        x_to_y: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
        with: Normalization<Self::Slice<'_, T::Compute>>,
        epilogue: Epilogue<Self::Slice<'_, T>, &mut Self::Mask, Self::SliceMut<'_, T>>,
    ) -> Result<()> {
        let Batch { shape, kept } = checked_batch(batch)?;
        check_in_out::<Self, T>(shape, "x", "y", &x_to_y)?;
        check_normalization::<Self, T::Compute>(shape, &with)?;
        check_epilogue::<Self, T>(shape, &epilogue)?;
        if shape.is_empty() {
            return Ok(());
        }
        let checked = Checked::new();
        match kept {
            None => self.run_normalize::<T>(checked, shape, x_to_y, with, epilogue),
            Some(kept) => {
                self.run_normalize_kept::<T>(checked, shape, kept, x_to_y, with, epilogue)
            }
        }
    }

    /// Step 3, with y quantized to bytes, which come to the host in the order of x's memory. (There is no GPU kernel for it yet.)
    ///
    /// # Errors
    /// As [`normalize`](Self::normalize); [`crate::Error::Length`] for a quantization of other channels; [`crate::Error::Value`] on
    /// a GPU.
    fn normalize_quantized<T: Element>(
        &self,
        shape: &Shape,
        x: Self::Slice<'_, T>,
        with: Normalization<Self::Slice<'_, T::Compute>>,
        activation: Activation,
        residual: Option<Self::Slice<'_, T>>,
        quantization: &Quantization,
        q: &mut [i8],
    ) -> Result<()> {
        shape.check_len("x", Self::len::<T>(&x))?;
        check_normalization::<Self, T::Compute>(shape, &with)?;
        if let Some(residual) = &residual {
            shape.check_len("the residual", Self::len::<T>(residual))?;
        }
        activation.check()?;
        quantization.check_channels(shape.channels())?;
        shape.check_len("q", q.len())?;
        if shape.is_empty() {
            return Ok(());
        }
        self.run_normalize_quantized::<T>(
            Checked::new(),
            shape,
            x,
            with,
            activation,
            residual,
            quantization,
            q,
        )
    }

    /// Step 4: dγ = Σ dv·x̂ and dβ = Σ dv, with dv = dy·activation'(v) and x̂ = (x − mean)·inv_std.
    ///
    /// # Errors
    /// As [`normalize`](Self::normalize).
    fn backward_reduce<'b, T: Element>(
        &self,
        batch: impl Into<Batch<'b>>,
        dy: Self::Slice<'_, T>,
        x: Self::Slice<'_, T>,
        with: Normalization<Self::Slice<'_, T::Compute>>,
        activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
        out: GradientSumsMut<Self::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let Batch { shape, kept } = checked_batch(batch)?;
        check_reduce::<Self, T>(shape, &dy, &x, &with, &activation)?;
        check_kept_backward(kept, &activation)?;
        check_gradients_out::<Self, T::Compute>(shape, &out)?;
        if shape.is_empty() {
            return no_gradients::<Self, T::Compute>(self, shape, out);
        }
        let checked = Checked::new();
        match kept {
            None => self.run_backward_reduce::<T>(checked, shape, dy, x, with, activation, out),
            Some(kept) => self
                .run_backward_reduce_kept::<T>(checked, shape, kept, dy, x, with, activation, out),
        }
    }

    /// Step 4, for sums that are still to be merged with others': in `f64` on the host, zeros of an empty array. (A GPU's kernels
    /// round them to the compute type; the call then waits for the device.)
    ///
    /// # Errors
    /// As [`backward_reduce`](Self::backward_reduce).
    fn backward_reduce_in_f64<T: Element>(
        &self,
        shape: &Shape,
        dy: Self::Slice<'_, T>,
        x: Self::Slice<'_, T>,
        with: Normalization<Self::Slice<'_, T::Compute>>,
        activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
        out: GradientSumsMut<&mut [f64]>,
    ) -> Result<()> {
        check_reduce::<Self, T>(shape, &dy, &x, &with, &activation)?;
        check_sums_out_in_f64(shape, &out)?;
        if shape.is_empty() {
            out.gamma.fill(0.0);
            out.beta.fill(0.0);
            return Ok(());
        }
        self.run_backward_reduce_in_f64::<T>(Checked::new(), shape, dy, x, with, activation, out)
    }

    /// Step 5: dx, by [`StatisticsSource::Batch`]'s formula if sums are given and by
    /// [`StatisticsSource::Running`]'s if not; and on request the residual's gradient, which is dv.
    ///
    /// # Errors
    /// As [`normalize`](Self::normalize); [`crate::Error::Value`] for sums of no values.
    fn backward_input<'b, T: Element>(
        &self,
        batch: impl Into<Batch<'b>>,
        dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
        x: Self::Slice<'_, T>,
        with: Normalization<Self::Slice<'_, T::Compute>>,
        activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
        sums: Option<GradientSums<Self::Slice<'_, T::Compute>>>,
        dresidual: Option<Self::SliceMut<'_, T>>,
    ) -> Result<()> {
        let Batch { shape, kept } = checked_batch(batch)?;
        let also = dresidual.as_ref();
        check_backward::<Self, T>(shape, &dy_to_dx, &x, &with, &activation, also)?;
        check_kept_backward(kept, &activation)?;
        if let Some(sums) = &sums {
            check_sums::<Self, T::Compute>(shape, sums)?;
            check_count_of_kept(kept, sums.count)?;
        }
        if shape.is_empty() {
            return Ok(());
        }
        let checked = Checked::new();
        match kept {
            None => self.run_backward_input::<T>(
                checked, shape, dy_to_dx, x, with, activation, sums, dresidual,
            ),
            Some(kept) => self.run_backward_input_kept::<T>(
                checked, shape, kept, dy_to_dx, x, with, activation, sums, dresidual,
            ),
        }
    }

    /// Step 5, with sums that were merged in `f64` on the host.
    ///
    /// # Errors
    /// As [`backward_input`](Self::backward_input).
    fn backward_input_in_f64<T: Element>(
        &self,
        shape: &Shape,
        dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
        x: Self::Slice<'_, T>,
        with: Normalization<Self::Slice<'_, T::Compute>>,
        activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
        sums: Option<GradientSums<&[f64]>>,
        dresidual: Option<Self::SliceMut<'_, T>>,
    ) -> Result<()> {
        let also = dresidual.as_ref();
        check_backward::<Self, T>(shape, &dy_to_dx, &x, &with, &activation, also)?;
        if let Some(sums) = &sums {
            check_sums_in_f64(shape, sums)?;
        }
        if shape.is_empty() {
            return Ok(());
        }
        self.run_backward_input_in_f64::<T>(
            Checked::new(),
            shape,
            dy_to_dx,
            x,
            with,
            activation,
            sums,
            dresidual,
        )
    }

    /// Steps 1 and 3: y normalized with the batch's own statistics, which are written to `out`.
    ///
    /// # Errors
    /// As the steps, and [`crate::Error::TooFewValues`] below two values per channel.
    fn forward_training<'b, T: Element>(
        &self,
        batch: impl Into<Batch<'b>>,
        x: Self::Slice<'_, T>,
        affine: Affine<Self::Slice<'_, T::Compute>>,
        epilogue: Epilogue<Self::Slice<'_, T>, &mut Self::Mask, Self::SliceMut<'_, T>>,
        y: Self::SliceMut<'_, T>,
        out: StatisticsMut<Self::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let Batch { shape, kept } = checked_batch(batch)?;
        check_forward::<Self, T>(shape, kept, &x, &affine, &epilogue, &y, &out)?;
        let checked = Checked::new();
        match kept {
            None => self.run_forward_training::<T>(checked, shape, x, affine, epilogue, y, out),
            Some(kept) => self
                .run_forward_training_kept::<T>(checked, shape, kept, x, affine, epilogue, y, out),
        }
    }

    /// [`forward_training`](Self::forward_training) with [`renormalize`](Self::renormalize) between its steps. Running statistics that
    /// follow at once are not those that are read for it: the caller has two copies of them. (On a GPU these are separate launches.)
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training) and [`renormalize`](Self::renormalize).
    fn forward_renormalized<'b, T: Element>(
        &self,
        batch: impl Into<Batch<'b>>,
        x: Self::Slice<'_, T>,
        affine: Affine<Self::Slice<'_, T::Compute>>,
        reference: RunningReference<Self::Slice<'_, T::Compute>>,
        epilogue: Epilogue<Self::Slice<'_, T>, &mut Self::Mask, Self::SliceMut<'_, T>>,
        y: Self::SliceMut<'_, T>,
        out: StatisticsMut<Self::SliceMut<'_, T::Compute>>,
        renormalized: RenormalizedMut<Self::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let Batch { shape, kept } = checked_batch(batch)?;
        check_forward::<Self, T>(shape, kept, &x, &affine, &epilogue, &y, &out)?;
        check_reference::<Self, T::Compute>(shape.channels(), &reference)?;
        check_renormalized_out::<Self, T::Compute>(shape.channels(), &renormalized)?;
        let checked = Checked::new();
        match kept {
            None => self.run_forward_renormalized::<T>(
                checked,
                shape,
                x,
                affine,
                reference,
                epilogue,
                y,
                out,
                renormalized,
            ),
            Some(kept) => self.run_forward_renormalized_kept::<T>(
                checked,
                shape,
                kept,
                x,
                affine,
                reference,
                epilogue,
                y,
                out,
                renormalized,
            ),
        }
    }

    /// Steps 4 and 5: all gradients.
    ///
    /// Here and in both steps x may be y instead, as [`SavedActivation::Output`] says: then v is found by the activation's inverse and x̂ as
    /// (v − residual − β)/γ, and of the statistics inv_std alone is read.
    ///
    /// # Errors
    /// As the steps; for y [`crate::Error::Value`] for an activation [without an inverse](Activation::has_inverse), a γ that is zero or
    /// subnormal or whose inverse is, γ·inv_std beyond the parameters' type, and on a GPU.
    fn backward<'b, T: Element>(
        &self,
        batch: impl Into<Batch<'b>>,
        dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
        x: Self::Slice<'_, T>,
        with: Normalization<Self::Slice<'_, T::Compute>>,
        source: StatisticsSource,
        activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
        dresidual: Option<Self::SliceMut<'_, T>>,
        out: GradientSumsMut<Self::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let Batch { shape, kept } = checked_batch(batch)?;
        let also = dresidual.as_ref();
        check_backward::<Self, T>(shape, &dy_to_dx, &x, &with, &activation, also)?;
        check_kept_backward(kept, &activation)?;
        check_gradients_out::<Self, T::Compute>(shape, &out)?;
        if shape.is_empty() {
            return no_gradients::<Self, T::Compute>(self, shape, out);
        }
        let checked = Checked::new();
        match kept {
            None => self.run_backward::<T>(
                checked, shape, dy_to_dx, x, with, source, activation, dresidual, out,
            ),
            Some(kept) => self.run_backward_kept::<T>(
                checked, shape, kept, dy_to_dx, x, with, source, activation, dresidual, out,
            ),
        }
    }

    /// Second derivatives: the backward pass of [`backward`](Self::backward). Of a scalar whose gradients with respect to dx, dresidual, dγ
    /// and dβ are u, w, G and B (`of`), the gradients with respect to dy, x and γ; those with respect to β and the residual are zero.
    ///
    /// With r = inv_std, g = dy·activation'(v), means over the M values of a channel, P(v) = v − mean(v) − x̂·mean(v·x̂),
    /// p = mean(u·x̂), q = mean(g·x̂) and a = mean((u − mean(u))·(g − mean(g))) − p·q, in training
    ///
    /// ```text
    /// of dy: activation'(v)·(γ·r·P(u) + G·x̂ + B + w)
    /// of x:  −γ·r²·(x̂·a + q·P(u) + p·P(g)) + G·r·P(g)
    /// of γ:  M·r·a
    /// ```
    ///
    /// and with running statistics `activation'(v)·(γ·r·u + G·x̂ + B + w)`, `G·r·g` and `r·Σ u·g`. The activation's own second
    /// derivative is zero, which is so of none, ReLU, ReLU6 and leaky ReLU (at their kinks there is none, and it is taken for zero).
    /// Source: the formulas of Ioffe & Szegedy 2015, section 3, derived once more.
    ///
    /// What is not given is zero, whatever the formulas would multiply it by. Sums are of u and g about their means: they lose no digits
    /// to means that are large, but as p and q do, which are off by so many deviations of u and g as the means have roundings.
    ///
    /// x, dy and u are each read three times, from memory once where the channels of a tile stay in cache. On
    /// the processor only: a GPU has no kernel for this yet.
    ///
    /// # Errors
    /// As [`normalize`](Self::normalize); [`crate::Error::Value`] for another activation, where γ·r is beyond the parameters' type, and on
    /// a GPU.
    fn double_backward<T: Element>(
        &self,
        shape: &Shape,
        dy: Self::Slice<'_, T>,
        x: Self::Slice<'_, T>,
        with: Normalization<Self::Slice<'_, T::Compute>>,
        source: StatisticsSource,
        activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
        of: GradientsOfGradients<Self::Slice<'_, T>, Self::Slice<'_, T::Compute>>,
        out: SecondGradientsMut<Self::SliceMut<'_, T>, Self::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        check_double_backward::<Self, T>(shape, &dy, &x, &with, &activation, &of, &out)?;
        if shape.is_empty() {
            return no_gradient::<Self, T::Compute>(self, shape, out.gamma);
        }
        self.run_double_backward::<T>(
            Checked::new(),
            shape,
            dy,
            x,
            with,
            source,
            activation,
            of,
            out,
        )
    }
}

impl<B: Steps> Backend for B {}

/// Of an empty batch.
fn no_gradients<B: Backend, C: Compute>(
    backend: &B,
    shape: &Shape,
    out: GradientSumsMut<B::SliceMut<'_, C>>,
) -> Result<()> {
    no_gradient::<B, C>(backend, shape, out.gamma)?;
    no_gradient::<B, C>(backend, shape, out.beta)
}

/// Of a parameter, and an empty batch.
fn no_gradient<B: Backend, C: Compute>(
    backend: &B,
    shape: &Shape,
    out: B::SliceMut<'_, C>,
) -> Result<()> {
    let zeros = backend.zeros::<C>(shape.channels())?;
    backend.copy::<C>(B::as_slice::<C>(&zeros), out)
}
