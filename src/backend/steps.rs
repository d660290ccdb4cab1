//! What a backend does once the operands of a step have been checked: the methods of [`Backend`](super::Backend), each
//! behind its checks. Shapes are never empty here.

use std::fmt::Debug;

use crate::backend::activation::Activation;
use crate::backend::checked::Checked;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::kept::Kept;
use crate::backend::memory::Memory;
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, GradientsOfGradients, InOut, MomentsMut, Normalization,
    RenormalizedMut, RunningMut, RunningReference, SecondGradientsMut, Statistics, StatisticsMut,
    StatisticsSource,
};
use crate::config::quantization::Quantization;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

/// Gives a macro every step and its operands: the trait is made of them, and what hands steps on to another backend
/// (`src/device/steps.rs`).
macro_rules! for_each_step {
    ($make:ident) => {
        $make! {
            fn run_statistics<T: Element>(
                shape: &Shape,
                x: Self::Slice<'_, T>,
                epsilon: f64,
                out: StatisticsMut<Self::SliceMut<'_, T::Compute>>,
            );

            fn run_statistics_in_f64<T: Element>(
                shape: &Shape,
                x: Self::Slice<'_, T>,
                out: MomentsMut<'_>,
            );

            fn run_inverse_std<C: Compute>(
                variance: Self::Slice<'_, C>,
                epsilon: f64,
                inv_std: Self::SliceMut<'_, C>,
            );

            fn run_update_running<C: Compute>(
                batch: Statistics<Self::Slice<'_, C>>,
                running: RunningMut<Self::SliceMut<'_, C>>,
            );

            fn run_renormalize<C: Compute>(
                with: Normalization<Self::Slice<'_, C>>,
                epsilon: f64,
                reference: RunningReference<Self::Slice<'_, C>>,
                out: RenormalizedMut<Self::SliceMut<'_, C>>,
            );

            fn run_normalize<T: Element>(
                shape: &Shape,
                x_to_y: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                epilogue: Epilogue<Self::Slice<'_, T>, &mut Self::Mask, Self::SliceMut<'_, T>>,
            );

            fn run_normalize_quantized<T: Element>(
                shape: &Shape,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                activation: Activation,
                residual: Option<Self::Slice<'_, T>>,
                quantization: &Quantization,
                q: &mut [i8],
            );

            fn run_backward_reduce<T: Element>(
                shape: &Shape,
                dy: Self::Slice<'_, T>,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
                out: GradientSumsMut<Self::SliceMut<'_, T::Compute>>,
            );

            fn run_backward_reduce_in_f64<T: Element>(
                shape: &Shape,
                dy: Self::Slice<'_, T>,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
                out: GradientSumsMut<&mut [f64]>,
            );

            fn run_backward_input<T: Element>(
                shape: &Shape,
                dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
                sums: Option<GradientSums<Self::Slice<'_, T::Compute>>>,
                dresidual: Option<Self::SliceMut<'_, T>>,
            );

            fn run_backward_input_in_f64<T: Element>(
                shape: &Shape,
                dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
                sums: Option<GradientSums<&[f64]>>,
                dresidual: Option<Self::SliceMut<'_, T>>,
            );

            fn run_forward_training<T: Element>(
                shape: &Shape,
                x: Self::Slice<'_, T>,
                affine: Affine<Self::Slice<'_, T::Compute>>,
                epilogue: Epilogue<Self::Slice<'_, T>, &mut Self::Mask, Self::SliceMut<'_, T>>,
                y: Self::SliceMut<'_, T>,
                out: StatisticsMut<Self::SliceMut<'_, T::Compute>>,
            );

            fn run_forward_renormalized<T: Element>(
                shape: &Shape,
                x: Self::Slice<'_, T>,
                affine: Affine<Self::Slice<'_, T::Compute>>,
                reference: RunningReference<Self::Slice<'_, T::Compute>>,
                epilogue: Epilogue<Self::Slice<'_, T>, &mut Self::Mask, Self::SliceMut<'_, T>>,
                y: Self::SliceMut<'_, T>,
                out: StatisticsMut<Self::SliceMut<'_, T::Compute>>,
                renormalized: RenormalizedMut<Self::SliceMut<'_, T::Compute>>,
            );

            fn run_backward<T: Element>(
                shape: &Shape,
                dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                source: StatisticsSource,
                activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
                dresidual: Option<Self::SliceMut<'_, T>>,
                out: GradientSumsMut<Self::SliceMut<'_, T::Compute>>,
            );

            fn run_double_backward<T: Element>(
                shape: &Shape,
                dy: Self::Slice<'_, T>,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                source: StatisticsSource,
                activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
                of: GradientsOfGradients<Self::Slice<'_, T>, Self::Slice<'_, T::Compute>>,
                out: SecondGradientsMut<Self::SliceMut<'_, T>, Self::SliceMut<'_, T::Compute>>,
            );

            fn run_statistics_of_kept<T: Element>(
                shape: &Shape,
                kept: &Kept,
                x: Self::Slice<'_, T>,
                epsilon: f64,
                out: StatisticsMut<Self::SliceMut<'_, T::Compute>>,
            );

            fn run_normalize_kept<T: Element>(
                shape: &Shape,
                kept: &Kept,
                x_to_y: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                epilogue: Epilogue<Self::Slice<'_, T>, &mut Self::Mask, Self::SliceMut<'_, T>>,
            );

            fn run_backward_reduce_kept<T: Element>(
                shape: &Shape,
                kept: &Kept,
                dy: Self::Slice<'_, T>,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
                out: GradientSumsMut<Self::SliceMut<'_, T::Compute>>,
            );

            fn run_backward_input_kept<T: Element>(
                shape: &Shape,
                kept: &Kept,
                dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
                sums: Option<GradientSums<Self::Slice<'_, T::Compute>>>,
                dresidual: Option<Self::SliceMut<'_, T>>,
            );

            fn run_forward_training_kept<T: Element>(
                shape: &Shape,
                kept: &Kept,
                x: Self::Slice<'_, T>,
                affine: Affine<Self::Slice<'_, T::Compute>>,
                epilogue: Epilogue<Self::Slice<'_, T>, &mut Self::Mask, Self::SliceMut<'_, T>>,
                y: Self::SliceMut<'_, T>,
                out: StatisticsMut<Self::SliceMut<'_, T::Compute>>,
            );

            fn run_forward_renormalized_kept<T: Element>(
                shape: &Shape,
                kept: &Kept,
                x: Self::Slice<'_, T>,
                affine: Affine<Self::Slice<'_, T::Compute>>,
                reference: RunningReference<Self::Slice<'_, T::Compute>>,
                epilogue: Epilogue<Self::Slice<'_, T>, &mut Self::Mask, Self::SliceMut<'_, T>>,
                y: Self::SliceMut<'_, T>,
                out: StatisticsMut<Self::SliceMut<'_, T::Compute>>,
                renormalized: RenormalizedMut<Self::SliceMut<'_, T::Compute>>,
            );

            fn run_backward_kept<T: Element>(
                shape: &Shape,
                kept: &Kept,
                dy_to_dx: InOut<Self::Slice<'_, T>, Self::SliceMut<'_, T>>,
                x: Self::Slice<'_, T>,
                with: Normalization<Self::Slice<'_, T::Compute>>,
                source: StatisticsSource,
                activation: ActivationBackward<&Self::Mask, Self::Slice<'_, T>>,
                dresidual: Option<Self::SliceMut<'_, T>>,
                out: GradientSumsMut<Self::SliceMut<'_, T::Compute>>,
            );
        }
    };
}
pub(crate) use for_each_step;

macro_rules! trait_of_steps {
    ($(fn $step:ident<$element:ident: $bound:ident>($($operand:ident: $is:ty),* $(,)?);)*) => {
        /// The steps of a backend, unchecked. Sealed: a [`Backend`](super::Backend) is whoever has them, and nobody else can
        /// call them, for want of a [`Checked`].
        #[expect(
            clippy::too_many_arguments,
            reason = "inputs, outputs and what lies between"
        )]
        pub trait Steps: Memory {
            /// One bit a value, in the backend's own order.
            type Mask: Debug + Send + Sync;

            /// See [`Backend::mask`](super::Backend::mask).
            fn new_mask<T: Element>(&self, shape: &Shape) -> Result<Self::Mask>;

            /// That a mask was made for arrays of `T` of this shape.
            fn check_mask<T: Element>(shape: &Shape, mask: &Self::Mask) -> Result<()>;

            $(fn $step<$element: $bound>(&self, checked: Checked, $($operand: $is),*) -> Result<()>;)*
        }
    };
}

for_each_step!(trait_of_steps);
