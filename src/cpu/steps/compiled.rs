//! The steps, compiled once for each data type: here, and not in every crate that uses this one, whose debug build would take
//! longer over the channels than the kernels over the values.

use half::{bf16, f16};

use crate::backend::operands::{
    GradientSumsMut, InOut, Normalization, RenormalizedMut, RunningMut, RunningReference,
    SecondGradientsMut, Statistics,
};
use crate::backend::saved_activation::SavedActivation;
use crate::config::quantization::Quantization;
use crate::cpu::epilogue::forward::TileEpilogue;
use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::kernels::KernelElement;
use crate::cpu::kernels::backward_reduce::AffineGradients;
use crate::cpu::memory::scratch::or_no_room;
use crate::cpu::operands;
use crate::cpu::per_type::per_type;
use crate::cpu::reduce::finalize::{self, Finalized};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::renormalization::{BatchAffine, FinalizedBatch, RenormalizedAffine};
use crate::cpu::steps::backward_params::BackwardParams;
use crate::cpu::steps::double_backward::{self, DoubleBackward};
use crate::cpu::steps::{fused, kept, quantize, separate};
use crate::cpu::tiling::tile::Tiling;
use crate::cpu::tiling::view::MatrixView;
use crate::cpu::{Cpu, running};
use crate::error::Result;
use crate::finalized_channel::inverse_std;
use crate::numeric::{Numeric, Real};

per_type! {
    [f32, f64, f16, bf16];
    /// A data type that the steps over values are compiled for. Sealed: only this crate can name it.
    pub trait StepElement: KernelElement {
        /// Of each channel.
        fn moments_all(cpu: &Cpu, tiling: &Tiling, x: &[Self]) -> Moments {
            separate::moments(cpu, tiling, x)
        }
        /// Of each channel.
        fn statistics(cpu: &Cpu, tiling: &Tiling, x: &[Self], epsilon: f64) -> Finalized<Self::Scalar> {
            finalize::finalize(&separate::moments(cpu, tiling, x), epsilon)
        }
        /// y.
        fn normalize_all(
            cpu: &Cpu,
            tiling: &Tiling,
            x_to_y: InOut<&[Self], &mut [Self]>,
            with: &Normalization<&[Self::Scalar]>,
            epilogue: TileEpilogue<'_, Self>,
            saved: SavedActivation<&mut [u8], &mut [Self]>,
        ) {
            separate::normalize(cpu, tiling, x_to_y, with, epilogue, saved);
        }
        /// Bytes.
        fn normalize_quantized(
            cpu: &Cpu,
            tiling: &Tiling,
            x: &[Self],
            with: &Normalization<&[Self::Scalar]>,
            epilogue: TileEpilogue<'_, Self>,
            quantization: &Quantization,
            q: &mut [i8],
        ) {
            quantize::normalize_quantized(cpu, tiling, x, with, epilogue, quantization, q);
        }
        /// dγ and dβ.
        fn reduce_all(
            cpu: &Cpu,
            tiling: &Tiling,
            dy: &[Self],
            params: &BackwardParams<'_, Self>,
        ) -> AffineGradients {
            separate::reduce(cpu, tiling, dy, params)
        }
        /// dx.
        fn input_all(
            cpu: &Cpu,
            tiling: &Tiling,
            dy_to_dx: InOut<&[Self], &mut [Self]>,
            params: &BackwardParams<'_, Self>,
            means: &dyn Fn(usize) -> Option<[f64; 2]>,
            dresidual: Option<&mut [Self]>,
        ) {
            separate::input(cpu, tiling, dy_to_dx, params, means, dresidual);
        }
        /// y, the batch's statistics, and what it was renormalized with, if it was.
        fn forward_training(
            cpu: &Cpu,
            view: &MatrixView,
            x: &[Self],
            affine: BatchAffine<'_, Self::Scalar>,
            epilogue: TileEpilogue<'_, Self>,
            saved: SavedActivation<&mut [u8], &mut [Self]>,
            y: &mut [Self],
        ) -> FinalizedBatch<Self::Scalar> {
            let finalized = fused::forward_training(cpu, view, x, affine, epilogue, saved, y);
            // As each tile had them.
            let renormalized = affine.renormalized(&finalized);
            (finalized, renormalized)
        }
        /// dx, dγ and dβ.
        fn backward(
            cpu: &Cpu,
            view: &MatrixView,
            dy_to_dx: InOut<&[Self], &mut [Self]>,
            params: &BackwardParams<'_, Self>,
            dresidual: Option<&mut [Self]>,
        ) -> AffineGradients {
            fused::backward(cpu, view, dy_to_dx, params, dresidual)
        }
        /// Second derivatives.
        fn double_backward(
            cpu: &Cpu,
            pass: &DoubleBackward<'_, Self>,
            out: SecondGradientsMut<&mut [Self], &mut [Self::Scalar]>,
        ) {
            double_backward::double_backward(cpu, pass, out);
        }
        /// Of what is kept of each channel.
        fn kept_statistics(
            cpu: &Cpu,
            tiling: &Tiling,
            kept: &KeptOfView<'_, Self::Scalar>,
            x: &[Self],
            epsilon: f64,
        ) -> Finalized<Self::Scalar> {
            finalize::finalize(&kept::moments(cpu, tiling, kept, x), epsilon)
        }
        /// y, zero where x is not kept.
        fn normalize_kept_all(
            cpu: &Cpu,
            tiling: &Tiling,
            kept: &KeptOfView<'_, Self::Scalar>,
            x_to_y: InOut<&[Self], &mut [Self]>,
            with: &Normalization<&[Self::Scalar]>,
            epilogue: TileEpilogue<'_, Self>,
            saved: SavedActivation<&mut [u8], &mut [Self]>,
        ) {
            kept::normalize(cpu, tiling, kept, x_to_y, with, epilogue, saved);
        }
        /// dγ and dβ of what is kept.
        fn reduce_kept_all(
            cpu: &Cpu,
            tiling: &Tiling,
            kept: &KeptOfView<'_, Self::Scalar>,
            dy: &[Self],
            params: &BackwardParams<'_, Self>,
        ) -> AffineGradients {
            kept::reduce(cpu, tiling, kept, dy, params)
        }
        /// dx, zero where x is not kept.
        fn input_kept_all(
            cpu: &Cpu,
            tiling: &Tiling,
            kept: &KeptOfView<'_, Self::Scalar>,
            dy_to_dx: InOut<&[Self], &mut [Self]>,
            params: &BackwardParams<'_, Self>,
            means: &dyn Fn(usize) -> Option<[f64; 2]>,
            dresidual: Option<&mut [Self]>,
        ) {
            kept::input(cpu, tiling, kept, dy_to_dx, params, means, dresidual);
        }
        /// y, the statistics of what is kept, and what it was renormalized with, if it was.
        fn forward_training_kept(
            cpu: &Cpu,
            kept: &KeptOfView<'_, Self::Scalar>,
            x: &[Self],
            affine: BatchAffine<'_, Self::Scalar>,
            epilogue: TileEpilogue<'_, Self>,
            saved: SavedActivation<&mut [u8], &mut [Self]>,
            y: &mut [Self],
        ) -> FinalizedBatch<Self::Scalar> {
            let finalized = kept::forward_training(cpu, kept, x, affine, epilogue, saved, y);
            let renormalized = affine.renormalized(&finalized);
            (finalized, renormalized)
        }
        /// dx, dγ and dβ of what is kept.
        fn backward_kept(
            cpu: &Cpu,
            kept: &KeptOfView<'_, Self::Scalar>,
            dy_to_dx: InOut<&[Self], &mut [Self]>,
            params: &BackwardParams<'_, Self>,
            dresidual: Option<&mut [Self]>,
        ) -> AffineGradients {
            kept::backward(cpu, kept, dy_to_dx, params, dresidual)
        }
    }
}

per_type! {
    [f32, f64];
    /// A data type that the steps over channels are compiled for. Sealed: only this crate can name it.
    pub trait ChannelElement: Real {
        /// 1 / sqrt(variance + ε).
        fn inverse_std(variance: &[Self], epsilon: f64, inv_std: &mut [Self]) {
            for (inv_std, variance) in inv_std.iter_mut().zip(variance) {
                *inv_std = inverse_std(variance.value(), epsilon);
            }
        }
        /// The running statistics follow a batch's.
        fn update_running(batch: &Statistics<&[Self]>, running: RunningMut<&mut [Self]>) {
            running::update_running(batch, running);
        }
        /// What a batch is renormalized with.
        fn renormalize(
            with: &Normalization<&[Self]>,
            epsilon: f64,
            reference: &RunningReference<&[Self]>,
            out: RenormalizedMut<&mut [Self]>,
        ) -> Result<()> {
            let renormalized = or_no_room(|| RenormalizedAffine::of(with, epsilon, reference))?;
            renormalized.write(out);
            Ok(())
        }
        /// The sums as the caller has them.
        fn write_gradients(sums: &AffineGradients, out: &mut GradientSumsMut<&mut [Self]>) {
            operands::write_gradients(sums, out);
        }
    }
}
