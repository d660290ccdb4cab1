//! Steps that come in two forms: the training pass, plain or renormalized; and steps 4 and 5, whose sums are of the compute type or
//! of `f64`.

use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::operands::{GradientSums, InOut, Normalization, StatisticsSource};
use crate::cpu::events;
use crate::cpu::kernels::backward_reduce::AffineGradients;
use crate::cpu::operands::{activation_of, epilogue_of};
use crate::cpu::renormalization::{BatchAffine, FinalizedBatch};
use crate::cpu::steps::backward_params::BackwardParams;
use crate::cpu::steps::two_factors::TwoFactors;
use crate::cpu::tiling::pass_arrays;
use crate::cpu::tiling::tile::Tiling;
use crate::cpu::tiling::view::MatrixView;
use crate::cpu::{Cpu, CpuMask};
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

impl Cpu {
    /// Steps 1 and 3, and between them what a batch that is renormalized takes.
    pub(super) fn forward_in_either_form<T: Element>(
        &self,
        pass: &'static str,
        shape: &Shape,
        x: &[T],
        affine: BatchAffine<'_, T::Compute>,
        epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
        y: &mut [T],
    ) -> Result<FinalizedBatch<T::Compute>> {
        let view = MatrixView::of(shape);
        events::begins::<T>(self, pass, shape, || {
            view.for_statistics(pass_arrays::FORWARD, size_of::<T>())
        });
        let (epilogue, mut saved) = epilogue_of(epilogue);
        let (finalized, renormalized) = self.attempt(size_of_val(x), || {
            let saved = (saved.as_mut().map_mask(|mask| &mut **mask)).map_values(|v| &mut **v);
            T::forward_training(self, &view, x, affine, epilogue, saved, y)
        })?;
        let with = affine.normalization(&finalized, renormalized.as_ref());
        if let Some(factors) = TwoFactors::of(&view, x, &with)? {
            let (x_to_y, with) = (
                InOut::Separate(factors.x(), y),
                factors.normalization(&with),
            );
            self.attempt(size_of_val(x), || {
                T::normalize_all(self, &view.by_rows(), x_to_y, &with, epilogue, saved);
            })?;
        }
        Ok((finalized, renormalized))
    }

    /// Step 4, cut so.
    pub(super) fn reduce_in_either_form<T: Element>(
        &self,
        tiling: &Tiling,
        dy: &[T],
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
    ) -> Result<AffineGradients> {
        // Of either source: only dx asks.
        let source = StatisticsSource::Batch;
        let params = BackwardParams::new(&tiling.view, x, with, source, activation_of(activation))?;
        self.attempt(size_of_val(x), || T::reduce_all(self, tiling, dy, &params))
    }

    /// Step 5.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    pub(super) fn input_in_either_form<T: Element, C: Compute>(
        &self,
        shape: &Shape,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        sums: Option<GradientSums<&[C]>>,
        dresidual: Option<&mut [T]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        events::begins::<T>(self, "backward_input", shape, || view.by_rows());
        let source = match sums {
            Some(_) => StatisticsSource::Batch,
            None => StatisticsSource::Running,
        };
        let means = |c: usize| sums.as_ref().map(|sums| means_of(sums, c));
        let params = BackwardParams::new(&view, x, with, source, activation_of(activation))?;
        self.attempt(size_of_val(x), || {
            T::input_all(self, &view.by_rows(), dy_to_dx, &params, &means, dresidual);
        })
    }
}

/// Σ(dv·x̂)/M and Σdv/M of a channel.
fn means_of<C: Compute>(sums: &GradientSums<&[C]>, channel: usize) -> [f64; 2] {
    [sums.gamma[channel], sums.beta[channel]].map(|sum| sum.to_f64() / sums.count as f64)
}
