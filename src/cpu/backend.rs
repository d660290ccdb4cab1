//! The steps on the CPU: each hands its operands to the step of its name in `steps/`, those that come in two forms by way of `training_pass.rs` and
//! `backward_steps.rs`.

use crate::backend::activation::Activation;
use crate::backend::checked::Checked;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::factors::{FACTOR_OF_SECOND_DERIVATIVES, check_products};
use crate::backend::kept::Kept;
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, GradientsOfGradients, InOut, MomentsMut, Normalization,
    RenormalizedMut, RunningMut, RunningReference, SecondGradientsMut, Statistics, StatisticsMut,
    StatisticsSource,
};
use crate::backend::steps::Steps;
use crate::config::quantization::Quantization;
use crate::cpu::epilogue::forward::TileEpilogue;
use crate::cpu::events;
use crate::cpu::memory::buffer::CpuBuffer;
use crate::cpu::operands::{activation_of, epilogue_of, write_statistics};
use crate::cpu::renormalization::BatchAffine;
use crate::cpu::steps::backward_params::BackwardParams;
use crate::cpu::steps::compiled::ChannelElement;
use crate::cpu::steps::double_backward::DoubleBackward;
use crate::cpu::tiling::pass_arrays;
use crate::cpu::tiling::view::MatrixView;
use crate::cpu::{Cpu, CpuMask};
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::{Shape, check_len};

impl Steps for Cpu {
    type Mask = CpuMask;

    fn new_mask<T: Element>(&self, shape: &Shape) -> Result<CpuMask> {
        let bytes = MatrixView::of(shape).mask_bytes();
        CpuBuffer::unspecified(bytes).map(CpuMask)
    }

    fn check_mask<T: Element>(shape: &Shape, mask: &CpuMask) -> Result<()> {
        let needed = MatrixView::of(shape).mask_bytes();
        check_len("the mask (in bytes)", mask.0.len(), needed)
    }

    fn run_statistics<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        x: &[T],
        epsilon: f64,
        mut out: StatisticsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let tiling = MatrixView::of(shape).for_statistics(pass_arrays::STATISTICS, size_of::<T>());
        events::begins::<T>(self, "statistics", shape, || tiling);
        let finalized =
            self.attempt(size_of_val(x), || T::statistics(self, &tiling, x, epsilon))?;
        write_statistics(&finalized, &mut out);
        self.update_running_of(checked, out)
    }

    /// Cut as the fused pass cuts, so that the moments are the same bits.
    fn run_statistics_in_f64<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        x: &[T],
        out: MomentsMut<'_>,
    ) -> Result<()> {
        let tiling = MatrixView::of(shape).for_statistics(pass_arrays::FORWARD, size_of::<T>());
        events::begins::<T>(self, "statistics_in_f64", shape, || tiling);
        let moments = self.attempt(size_of_val(x), || T::moments_all(self, &tiling, x))?;
        out.mean.copy_from_slice(&moments.mean);
        out.mean_low.copy_from_slice(&moments.mean_low);
        out.m2.copy_from_slice(&moments.m2);
        Ok(())
    }

    fn run_inverse_std<C: Compute>(
        &self,
        _: Checked,
        variance: &[C],
        epsilon: f64,
        inv_std: &mut [C],
    ) -> Result<()> {
        <C as ChannelElement>::inverse_std(variance, epsilon, inv_std);
        Ok(())
    }

    fn run_update_running<C: Compute>(
        &self,
        _: Checked,
        batch: Statistics<&[C]>,
        running: RunningMut<&mut [C]>,
    ) -> Result<()> {
        <C as ChannelElement>::update_running(&batch, running);
        Ok(())
    }

    fn run_renormalize<C: Compute>(
        &self,
        _: Checked,
        with: Normalization<&[C]>,
        epsilon: f64,
        reference: RunningReference<&[C]>,
        out: RenormalizedMut<&mut [C]>,
    ) -> Result<()> {
        <C as ChannelElement>::renormalize(&with, epsilon, &reference, out)
    }

    fn run_normalize<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        x_to_y: InOut<&[T], &mut [T]>,
        with: Normalization<&[T::Compute]>,
        epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        events::begins::<T>(self, "normalize", shape, || view.by_rows());
        let (epilogue, saved) = epilogue_of(epilogue);
        let bytes = size_of_val(x_to_y.input());
        self.attempt(bytes, || {
            T::normalize_all(self, &view.by_rows(), x_to_y, &with, epilogue, saved);
        })
    }

    fn run_normalize_quantized<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: Activation,
        residual: Option<&[T]>,
        quantization: &Quantization,
        q: &mut [i8],
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        events::begins::<T>(self, "normalize_quantized", shape, || view.by_rows());
        let epilogue = TileEpilogue {
            residual,
            activation,
        };
        self.attempt(size_of_val(x), || {
            T::normalize_quantized(self, &view.by_rows(), x, &with, epilogue, quantization, q);
        })
    }

    fn run_backward_reduce<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        dy: &[T],
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        mut out: GradientSumsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        let tiling = view.for_statistics(pass_arrays::BACKWARD_REDUCE, size_of::<T>());
        events::begins::<T>(self, "backward_reduce", shape, || tiling);
        let sums = self.reduce_gradients(&tiling, dy, x, with, activation)?;
        <T::Compute as ChannelElement>::write_gradients(&sums, &mut out);
        Ok(())
    }

    /// Cut as the fused pass cuts, so that the sums are the same bits.
    fn run_backward_reduce_in_f64<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        dy: &[T],
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        out: GradientSumsMut<&mut [f64]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        let tiling = view.for_statistics(pass_arrays::BACKWARD, size_of::<T>());
        events::begins::<T>(self, "backward_reduce_in_f64", shape, || tiling);
        let sums = self.reduce_gradients(&tiling, dy, x, with, activation)?;
        out.gamma.copy_from_slice(&sums.dgamma);
        out.beta.copy_from_slice(&sums.dbeta);
        Ok(())
    }

    fn run_backward_input<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        sums: Option<GradientSums<&[T::Compute]>>,
        dresidual: Option<&mut [T]>,
    ) -> Result<()> {
        self.input_gradient(shape, dy_to_dx, x, with, activation, sums, dresidual)
    }

    fn run_backward_input_in_f64<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        sums: Option<GradientSums<&[f64]>>,
        dresidual: Option<&mut [T]>,
    ) -> Result<()> {
        self.input_gradient(shape, dy_to_dx, x, with, activation, sums, dresidual)
    }

    fn run_forward_training<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        x: &[T],
        affine: Affine<&[T::Compute]>,
        epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
        y: &mut [T],
        mut out: StatisticsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let affine = BatchAffine {
            affine,
            reference: None,
        };
        let (finalized, _) =
            self.training_pass("forward_training", shape, x, affine, epilogue, y)?;
        write_statistics(&finalized, &mut out);
        self.update_running_of(checked, out)
    }

    fn run_forward_renormalized<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        x: &[T],
        affine: Affine<&[T::Compute]>,
        reference: RunningReference<&[T::Compute]>,
        epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
        y: &mut [T],
        mut out: StatisticsMut<&mut [T::Compute]>,
        renormalized: RenormalizedMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let affine = BatchAffine {
            affine,
            reference: Some(reference),
        };
        let (finalized, used) =
            self.training_pass("forward_renormalized", shape, x, affine, epilogue, y)?;
        if let Some(used) = used {
            used.write(renormalized);
        }
        write_statistics(&finalized, &mut out);
        self.update_running_of(checked, out)
    }

    fn run_backward<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        source: StatisticsSource,
        activation: ActivationBackward<&CpuMask, &[T]>,
        dresidual: Option<&mut [T]>,
        mut out: GradientSumsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        events::begins::<T>(self, "backward", shape, || {
            view.for_statistics(pass_arrays::BACKWARD, size_of::<T>())
        });
        let params = BackwardParams::new(x, with, source, activation_of(activation))?;
        let sums = self.attempt(size_of_val(x), || {
            T::backward(self, &view, dy_to_dx, &params, dresidual)
        })?;
        <T::Compute as ChannelElement>::write_gradients(&sums, &mut out);
        Ok(())
    }

    fn run_double_backward<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        dy: &[T],
        x: &[T],
        with: Normalization<&[T::Compute]>,
        source: StatisticsSource,
        activation: ActivationBackward<&CpuMask, &[T]>,
        of: GradientsOfGradients<&[T], &[T::Compute]>,
        out: SecondGradientsMut<&mut [T], &mut [T::Compute]>,
    ) -> Result<()> {
        let view = &MatrixView::of(shape);
        events::begins::<T>(self, "double_backward", shape, || {
            view.for_statistics(pass_arrays::DOUBLE_BACKWARD, size_of::<T>())
        });
        check_products(FACTOR_OF_SECOND_DERIVATIVES, with.gamma, with.inv_std)?;
        let params = &BackwardParams::new(x, with, source, activation_of(activation))?;
        let pass = DoubleBackward {
            view,
            params,
            dy,
            of,
        };
        self.attempt(size_of_val(x), || T::double_backward(self, &pass, out))
    }

    fn run_statistics_of_kept<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        kept: &Kept,
        x: &[T],
        epsilon: f64,
        mut out: StatisticsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let finalized = self.statistics_of_kept(shape, kept, x, epsilon)?;
        write_statistics(&finalized, &mut out);
        self.update_running_of(checked, out)
    }

    fn run_normalize_kept<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        kept: &Kept,
        x_to_y: InOut<&[T], &mut [T]>,
        with: Normalization<&[T::Compute]>,
        epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
    ) -> Result<()> {
        self.normalize_what_is_kept(shape, kept, x_to_y, with, epilogue)
    }

    fn run_backward_reduce_kept<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        kept: &Kept,
        dy: &[T],
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        out: GradientSumsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        self.reduce_what_is_kept(shape, kept, dy, x, with, activation, out)
    }

    fn run_backward_input_kept<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        kept: &Kept,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        sums: Option<GradientSums<&[T::Compute]>>,
        dresidual: Option<&mut [T]>,
    ) -> Result<()> {
        self.input_gradient_of_kept(shape, kept, dy_to_dx, x, with, activation, sums, dresidual)
    }

    fn run_forward_training_kept<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        kept: &Kept,
        x: &[T],
        affine: Affine<&[T::Compute]>,
        epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
        y: &mut [T],
        mut out: StatisticsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let affine = BatchAffine {
            affine,
            reference: None,
        };
        let pass = "forward_training_kept";
        let (finalized, _) =
            self.training_pass_of_kept(pass, shape, kept, x, affine, epilogue, y)?;
        write_statistics(&finalized, &mut out);
        self.update_running_of(checked, out)
    }

    fn run_forward_renormalized_kept<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        kept: &Kept,
        x: &[T],
        affine: Affine<&[T::Compute]>,
        reference: RunningReference<&[T::Compute]>,
        epilogue: Epilogue<&[T], &mut CpuMask, &mut [T]>,
        y: &mut [T],
        mut out: StatisticsMut<&mut [T::Compute]>,
        renormalized: RenormalizedMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let affine = BatchAffine {
            affine,
            reference: Some(reference),
        };
        let pass = "forward_renormalized_kept";
        let (finalized, used) =
            self.training_pass_of_kept(pass, shape, kept, x, affine, epilogue, y)?;
        if let Some(used) = used {
            used.write(renormalized);
        }
        write_statistics(&finalized, &mut out);
        self.update_running_of(checked, out)
    }

    fn run_backward_kept<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        kept: &Kept,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        source: StatisticsSource,
        activation: ActivationBackward<&CpuMask, &[T]>,
        dresidual: Option<&mut [T]>,
        out: GradientSumsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        self.backward_of_kept(
            shape, kept, dy_to_dx, x, with, source, activation, dresidual, out,
        )
    }
}

impl Cpu {
    /// Has the running statistics follow what was written, if any are to.
    fn update_running_of<C: Compute>(
        &self,
        checked: Checked,
        written: StatisticsMut<&mut [C]>,
    ) -> Result<()> {
        let Some(running) = written.running else {
            return Ok(());
        };
        let batch = Statistics {
            mean: &*written.mean,
            mean_low: &*written.mean_low,
            variance: &*written.variance,
            inv_std: &*written.inv_std,
        };
        self.run_update_running(checked, batch, running)
    }
}
