//! The steps over what is kept of a batch, on the CPU: each hands its operands to the step of its name in `steps/kept.rs`.

use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::kept::Kept;
use crate::backend::operands::{
    GradientSums, GradientSumsMut, InOut, Normalization, StatisticsSource,
};
use crate::cpu::events;
use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::operands::{activation_of, epilogue_of};
use crate::cpu::reduce::finalize::Finalized;
use crate::cpu::renormalization::{BatchAffine, FinalizedBatch};
use crate::cpu::steps::backward_params::BackwardParams;
use crate::cpu::steps::compiled::ChannelElement;
use crate::cpu::tiling::pass_arrays;
use crate::cpu::tiling::view::MatrixView;
use crate::cpu::{Cpu, CpuMask};
use crate::element::Element;
use crate::error::Result;
use crate::numeric::Numeric;
use crate::shape::Shape;

impl Cpu {
    /// Step 1.
    pub(super) fn statistics_of_kept<T: Element>(
        &self,
        shape: &Shape,
        kept: &Kept,
        x: &[T],
        epsilon: f64,
    ) -> Result<Finalized<T::Compute>> {
        let view = MatrixView::of(shape);
        let tiling = view.for_statistics(pass_arrays::STATISTICS, size_of::<T>());
        events::begins::<T>(self, "statistics_of_kept", shape, || tiling);
        self.attempt(size_of_val(x), || {
            let kept = KeptOfView::of(&view, kept);
            T::kept_statistics(self, &tiling, &kept, x, epsilon)
        })
    }

    /// Step 3.
    pub(super) fn normalize_what_is_kept<T: Element>(
        &self,
        shape: &Shape,
        kept: &Kept,
        x_to_y: InOut<&[T], &mut [T]>,
        with: Normalization<&[T::Compute]>,
        epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        events::begins::<T>(self, "normalize_kept", shape, || view.by_rows());
        let (epilogue, saved) = epilogue_of(epilogue);
        let bytes = size_of_val(x_to_y.input());
        self.attempt(bytes, || {
            let kept = KeptOfView::unweighted(&view, kept);
            let tiling = view.by_rows();
            T::normalize_kept_all(self, &tiling, &kept, x_to_y, &with, epilogue, saved);
        })
    }

    /// Step 4.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    pub(super) fn reduce_what_is_kept<T: Element>(
        &self,
        shape: &Shape,
        kept: &Kept,
        dy: &[T],
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        mut out: GradientSumsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        let tiling = view.for_statistics(pass_arrays::BACKWARD_REDUCE, size_of::<T>());
        events::begins::<T>(self, "backward_reduce_kept", shape, || tiling);
        // Of either source: only dx asks.
        let source = StatisticsSource::Batch;
        let params = BackwardParams::new(x, with, source, activation_of(activation))?;
        let sums = self.attempt(size_of_val(x), || {
            let kept = KeptOfView::unweighted(&view, kept);
            T::reduce_kept_all(self, &tiling, &kept, dy, &params)
        })?;
        <T::Compute as ChannelElement>::write_gradients(&sums, &mut out);
        Ok(())
    }

    /// Step 5.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    pub(super) fn input_gradient_of_kept<T: Element>(
        &self,
        shape: &Shape,
        kept: &Kept,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        sums: Option<GradientSums<&[T::Compute]>>,
        dresidual: Option<&mut [T]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        events::begins::<T>(self, "backward_input_kept", shape, || view.by_rows());
        let source = match sums {
            Some(_) => StatisticsSource::Batch,
            None => StatisticsSource::Running,
        };
        let params = BackwardParams::new(x, with, source, activation_of(activation))?;
        self.attempt(size_of_val(x), || {
            let kept = KeptOfView::of(&view, kept);
            let weight = kept.weight();
            let means = |c: usize| {
                let sums = sums.as_ref()?;
                Some([sums.gamma[c], sums.beta[c]].map(|sum| sum.value() / weight))
            };
            let tiling = view.by_rows();
            T::input_kept_all(self, &tiling, &kept, dy_to_dx, &params, &means, dresidual);
        })
    }

    /// Steps 1 and 3, and between them what a batch that is renormalized takes.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    pub(super) fn training_pass_of_kept<T: Element>(
        &self,
        pass: &'static str,
        shape: &Shape,
        kept: &Kept,
        x: &[T],
        affine: BatchAffine<'_, T::Compute>,
        epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
        y: &mut [T],
    ) -> Result<FinalizedBatch<T::Compute>> {
        let view = MatrixView::of(shape);
        events::begins::<T>(self, pass, shape, || {
            view.for_statistics(pass_arrays::FORWARD, size_of::<T>())
        });
        let (epilogue, saved) = epilogue_of(epilogue);
        self.attempt(size_of_val(x), || {
            let kept = KeptOfView::of(&view, kept);
            T::forward_training_kept(self, &kept, x, affine, epilogue, saved, y)
        })
    }

    /// Steps 4 and 5.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    pub(super) fn backward_of_kept<T: Element>(
        &self,
        shape: &Shape,
        kept: &Kept,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        source: StatisticsSource,
        activation: ActivationBackward<&CpuMask, &[T]>,
        dresidual: Option<&mut [T]>,
        mut out: GradientSumsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        events::begins::<T>(self, "backward_kept", shape, || {
            view.for_statistics(pass_arrays::BACKWARD, size_of::<T>())
        });
        let params = BackwardParams::new(x, with, source, activation_of(activation))?;
        let sums = self.attempt(size_of_val(x), || {
            let kept = KeptOfView::of(&view, kept);
            T::backward_kept(self, &kept, dy_to_dx, &params, dresidual)
        })?;
        <T::Compute as ChannelElement>::write_gradients(&sums, &mut out);
        Ok(())
    }
}
