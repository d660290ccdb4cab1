//! Steps 4 and 5, whose sums are of the compute type or of `f64`.

use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::{GradientSums, InOut, Normalization, StatisticsSource};
use crate::cpu::events;
use crate::cpu::kernels::backward_reduce::AffineGradients;
use crate::cpu::operands::activation_of;
use crate::cpu::steps::backward_params::BackwardParams;
use crate::cpu::tiling::tile::Tiling;
use crate::cpu::tiling::view::MatrixView;
use crate::cpu::{Cpu, CpuMask};
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

impl Cpu {
    /// Step 4, cut so.
    pub(super) fn reduce_gradients<T: Element>(
        &self,
        tiling: &Tiling,
        dy: &[T],
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
    ) -> Result<AffineGradients> {
        // Of either source: only dx asks.
        let source = StatisticsSource::Batch;
        let params = BackwardParams::new(x, with, source, activation_of(activation))?;
        self.attempt(size_of_val(x), || T::reduce_all(self, tiling, dy, &params))
    }

    /// Step 5.
    #[expect(
        clippy::too_many_arguments,
        reason = "inputs, outputs and what lies between"
    )]
    pub(super) fn input_gradient<T: Element, C: Compute>(
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
        let params = BackwardParams::new(x, with, source, activation_of(activation))?;
        self.attempt(size_of_val(x), || {
            T::input_all(self, &view.by_rows(), dy_to_dx, &params, &means, dresidual);
        })
    }
}

/// Σ(dv·x̂)/M and Σdv/M of a channel.
fn means_of<C: Compute>(sums: &GradientSums<&[C]>, channel: usize) -> [f64; 2] {
    [sums.gamma[channel], sums.beta[channel]].map(|sum| sum.to_f64() / sums.count as f64)
}
