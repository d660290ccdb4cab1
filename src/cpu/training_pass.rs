//! The training pass, plain or renormalized.

use crate::backend::epilogue::Epilogue;
use crate::cpu::events;
use crate::cpu::operands::epilogue_of;
use crate::cpu::renormalization::{BatchAffine, FinalizedBatch};
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
        let (epilogue, saved) = epilogue_of(epilogue);
        self.attempt(size_of_val(x), || {
            T::forward_training(self, &view, x, affine, epilogue, saved, y)
        })
    }
}
