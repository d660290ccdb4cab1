//! The training pass, plain or renormalized.

use crate::backend::epilogue::Epilogue;
use crate::backend::operands::InOut;
use crate::cpu::events;
use crate::cpu::operands::epilogue_of;
use crate::cpu::renormalization::{BatchAffine, FinalizedBatch};
use crate::cpu::steps::two_factors::TwoFactors;
use crate::cpu::tiling::pass_arrays;
use crate::cpu::tiling::view::MatrixView;
use crate::cpu::{Cpu, CpuMask};
use crate::element::Element;
use crate::error::Result;
use crate::shape::Shape;

impl Cpu {
    /// Steps 1 and 3, and between them what a batch that is renormalized takes.
    pub(super) fn training_pass<T: Element>(
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
}
