//! The steps on a GPU: each asks the plan, and launches.

use crate::backend::activation::Activation;
use crate::backend::checked::Checked;
use crate::backend::composed;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::kept::Kept;
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, GradientsOfGradients, InOut, MomentsMut, Normalization,
    RenormalizedMut, RunningMut, RunningReference, SecondGradientsMut, Statistics, StatisticsMut,
    StatisticsSource,
};
use crate::backend::steps::Steps;
use crate::config::quantization::Quantization;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::gpu::driver::Driver;
use crate::gpu::fused;
use crate::gpu::in_f64;
use crate::gpu::kernel::Operation;
use crate::gpu::launcher::Launcher;
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::gpu::plan::launch_plan::Direction;
use crate::gpu::plan::split::Step;
use crate::gpu::renormalization::renormalize;
use crate::gpu::{Gpu, GpuMask};
use crate::shape::{Shape, check_len};

impl<D: Driver> Steps for Gpu<D> {
    type Mask = GpuMask<D>;

    fn new_mask<T: Element>(&self, shape: &Shape) -> Result<GpuMask<D>> {
        let bytes = TensorDescriptor::of(shape, T::DTYPE).mask_bytes();
        let memory = self.driver.unspecified(bytes.div_ceil(size_of::<f32>()))?;
        Ok(GpuMask { memory, bytes })
    }

    fn check_mask<T: Element>(shape: &Shape, mask: &GpuMask<D>) -> Result<()> {
        let needed = TensorDescriptor::of(shape, T::DTYPE).mask_bytes();
        check_len("the mask (in bytes)", mask.bytes, needed)
    }

    fn run_statistics<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        x: D::Slice<'_, T>,
        epsilon: f64,
        mut out: StatisticsMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let mut launcher = Launcher::of::<T>(&self.driver, shape);
        launcher.x::<T>(x)?;
        launcher.statistics_out::<T::Compute>(&mut out)?;
        launcher.arguments.numbers.epsilon = epsilon;
        launcher.launch_step::<T>(Step::Statistics)
    }

    fn run_statistics_in_f64<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        x: D::Slice<'_, T>,
        out: MomentsMut<'_>,
    ) -> Result<()> {
        in_f64::statistics::<T, D>(self, checked, shape, x, out)
    }

    fn run_inverse_std<C: Compute>(
        &self,
        _: Checked,
        variance: D::Slice<'_, C>,
        epsilon: f64,
        mut inv_std: D::SliceMut<'_, C>,
    ) -> Result<()> {
        let channels = D::len::<C>(&variance);
        let mut launcher = Launcher::without_arrays(&self.driver);
        launcher.arguments.channel.variance = launcher.read::<C>(variance)?;
        launcher.arguments.channel.inv_std = launcher.write::<C>(&mut inv_std)?;
        launcher.arguments.numbers.epsilon = epsilon;
        launcher.launch_channels(Operation::InverseStd, C::DTYPE, channels)
    }

    fn run_update_running<C: Compute>(
        &self,
        _: Checked,
        batch: Statistics<D::Slice<'_, C>>,
        mut running: RunningMut<D::SliceMut<'_, C>>,
    ) -> Result<()> {
        let channels = D::len::<C>(&batch.mean);
        let mut launcher = Launcher::without_arrays(&self.driver);
        launcher.arguments.channel.mean = launcher.read::<C>(batch.mean)?;
        launcher.arguments.channel.mean_low = launcher.read::<C>(batch.mean_low)?;
        launcher.arguments.channel.variance = launcher.read::<C>(batch.variance)?;
        launcher.arguments.channel.inv_std = launcher.read::<C>(batch.inv_std)?;
        launcher.running_out::<C>(&mut running)?;
        launcher.launch_channels(Operation::UpdateRunning, C::DTYPE, channels)
    }

    fn run_renormalize<C: Compute>(
        &self,
        _: Checked,
        with: Normalization<D::Slice<'_, C>>,
        epsilon: f64,
        reference: RunningReference<D::Slice<'_, C>>,
        out: RenormalizedMut<D::SliceMut<'_, C>>,
    ) -> Result<()> {
        renormalize::<C, D>(&self.driver, with, epsilon, reference, out)
    }

    fn run_normalize<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        mut x_to_y: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        with: Normalization<D::Slice<'_, T::Compute>>,
        mut epilogue: Epilogue<D::Slice<'_, T>, &mut GpuMask<D>, D::SliceMut<'_, T>>,
    ) -> Result<()> {
        let mut launcher = Launcher::of::<T>(&self.driver, shape);
        launcher.x_to_out::<T>(&mut x_to_y)?;
        launcher.normalization::<T::Compute>(with)?;
        launcher.epilogue::<T>(&mut epilogue)?;
        launcher.launch_step::<T>(Step::Normalize)
    }

    /// There is no kernel for it.
    fn run_normalize_quantized<T: Element>(
        &self,
        _: Checked,
        _: &Shape,
        _: D::Slice<'_, T>,
        _: Normalization<D::Slice<'_, T::Compute>>,
        _: Activation,
        _: Option<D::Slice<'_, T>>,
        _: &Quantization,
        _: &mut [i8],
    ) -> Result<()> {
        Err(Error::Value {
            what: "the device of quantized inference",
            found: "a GPU".to_owned(),
            needed: "the processor: there is no GPU kernel for it yet",
        })
    }

    fn run_backward_reduce<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        dy: D::Slice<'_, T>,
        x: D::Slice<'_, T>,
        with: Normalization<D::Slice<'_, T::Compute>>,
        activation: ActivationBackward<&GpuMask<D>, D::Slice<'_, T>>,
        mut out: GradientSumsMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let mut launcher = Launcher::of::<T>(&self.driver, shape);
        launcher.dy::<T>(dy)?;
        launcher.x::<T>(x)?;
        launcher.normalization::<T::Compute>(with)?;
        launcher.activation::<T>(activation)?;
        launcher.gradients_out::<T::Compute>(&mut out)?;
        launcher.launch_step::<T>(Step::BackwardReduce)
    }

    fn run_backward_reduce_in_f64<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        dy: D::Slice<'_, T>,
        x: D::Slice<'_, T>,
        with: Normalization<D::Slice<'_, T::Compute>>,
        activation: ActivationBackward<&GpuMask<D>, D::Slice<'_, T>>,
        out: GradientSumsMut<&mut [f64]>,
    ) -> Result<()> {
        in_f64::backward_reduce::<T::Compute, D>(self, out, |out| {
            self.run_backward_reduce::<T>(checked, shape, dy, x, with, activation, out)
        })
    }

    fn run_backward_input<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        mut dy_to_dx: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        x: D::Slice<'_, T>,
        with: Normalization<D::Slice<'_, T::Compute>>,
        activation: ActivationBackward<&GpuMask<D>, D::Slice<'_, T>>,
        sums: Option<GradientSums<D::Slice<'_, T::Compute>>>,
        mut dresidual: Option<D::SliceMut<'_, T>>,
    ) -> Result<()> {
        let mut launcher = Launcher::of::<T>(&self.driver, shape);
        launcher.dy_to_out::<T>(&mut dy_to_dx)?;
        launcher.x::<T>(x)?;
        launcher.normalization::<T::Compute>(with)?;
        launcher.activation::<T>(activation)?;
        if let Some(dresidual) = &mut dresidual {
            launcher.dresidual::<T>(dresidual)?;
        }
        if let Some(sums) = sums {
            launcher.arguments.channel.dgamma = launcher.read::<T::Compute>(sums.gamma)?;
            launcher.arguments.channel.dbeta = launcher.read::<T::Compute>(sums.beta)?;
            launcher.arguments.numbers.count = sums.count as f64;
            launcher.arguments.choices.batch_statistics = 1;
        }
        launcher.launch_step::<T>(Step::BackwardInput)
    }

    fn run_backward_input_in_f64<T: Element>(
        &self,
        checked: Checked,
        shape: &Shape,
        dy_to_dx: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        x: D::Slice<'_, T>,
        with: Normalization<D::Slice<'_, T::Compute>>,
        activation: ActivationBackward<&GpuMask<D>, D::Slice<'_, T>>,
        sums: Option<GradientSums<&[f64]>>,
        dresidual: Option<D::SliceMut<'_, T>>,
    ) -> Result<()> {
        let uploaded = in_f64::upload::<T::Compute, D>(self, sums)?;
        let sums = uploaded.as_ref().map(|sums| GradientSums {
            gamma: D::as_slice(&sums.gamma),
            beta: D::as_slice(&sums.beta),
            count: sums.count,
        });
        self.run_backward_input::<T>(
            checked, shape, dy_to_dx, x, with, activation, sums, dresidual,
        )
    }

    fn run_forward_training<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        x: D::Slice<'_, T>,
        affine: Affine<D::Slice<'_, T::Compute>>,
        mut epilogue: Epilogue<D::Slice<'_, T>, &mut GpuMask<D>, D::SliceMut<'_, T>>,
        mut y: D::SliceMut<'_, T>,
        mut out: StatisticsMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let mut launcher = Launcher::of::<T>(&self.driver, shape);
        launcher.x::<T>(x)?;
        launcher.out::<T>(&mut y)?;
        launcher.statistics_out::<T::Compute>(&mut out)?;
        launcher.epilogue::<T>(&mut epilogue)?;
        launcher.arguments.channel.gamma = launcher.read::<T::Compute>(affine.gamma)?;
        launcher.arguments.channel.beta = launcher.read::<T::Compute>(affine.beta)?;
        launcher.arguments.numbers.epsilon = affine.epsilon;
        fused::launch::<T, D>(self, Direction::Forward, launcher)
    }

    /// The fused kernels know nothing of it.
    fn run_forward_renormalized<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        x: D::Slice<'_, T>,
        affine: Affine<D::Slice<'_, T::Compute>>,
        reference: RunningReference<D::Slice<'_, T::Compute>>,
        epilogue: Epilogue<D::Slice<'_, T>, &mut GpuMask<D>, D::SliceMut<'_, T>>,
        y: D::SliceMut<'_, T>,
        out: StatisticsMut<D::SliceMut<'_, T::Compute>>,
        renormalized: RenormalizedMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        composed::forward_renormalized::<Self, T>(
            self,
            shape,
            x,
            affine,
            reference,
            epilogue,
            y,
            out,
            renormalized,
        )
    }

    fn run_backward<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        mut dy_to_dx: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        x: D::Slice<'_, T>,
        with: Normalization<D::Slice<'_, T::Compute>>,
        source: StatisticsSource,
        activation: ActivationBackward<&GpuMask<D>, D::Slice<'_, T>>,
        mut dresidual: Option<D::SliceMut<'_, T>>,
        mut out: GradientSumsMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let mut launcher = Launcher::of::<T>(&self.driver, shape);
        launcher.dy_to_out::<T>(&mut dy_to_dx)?;
        launcher.x::<T>(x)?;
        launcher.normalization::<T::Compute>(with)?;
        launcher.activation::<T>(activation)?;
        launcher.gradients_out::<T::Compute>(&mut out)?;
        if let Some(dresidual) = &mut dresidual {
            launcher.dresidual::<T>(dresidual)?;
        }
        if source == StatisticsSource::Running {
            // The kernel that reduces writes dx in the same pass if it is told where.
            return launcher.launch_step::<T>(Step::BackwardReduce);
        }
        launcher.arguments.numbers.count = shape.values_per_channel() as f64;
        launcher.arguments.choices.batch_statistics = 1;
        fused::launch::<T, D>(self, Direction::Backward, launcher)
    }

    /// There is no kernel for it.
    fn run_double_backward<T: Element>(
        &self,
        _: Checked,
        _: &Shape,
        _: D::Slice<'_, T>,
        _: D::Slice<'_, T>,
        _: Normalization<D::Slice<'_, T::Compute>>,
        _: StatisticsSource,
        _: ActivationBackward<&GpuMask<D>, D::Slice<'_, T>>,
        _: GradientsOfGradients<D::Slice<'_, T>, D::Slice<'_, T::Compute>>,
        _: SecondGradientsMut<D::SliceMut<'_, T>, D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        Err(Error::Value {
            what: "the device of second derivatives",
            found: "a GPU".to_owned(),
            needed: "the processor: there is no GPU kernel for them yet",
        })
    }

    fn run_statistics_of_kept<T: Element>(
        &self,
        _: Checked,
        _: &Shape,
        _: &Kept,
        _: D::Slice<'_, T>,
        _: f64,
        _: StatisticsMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        Err(no_kernels_for_kept())
    }

    fn run_normalize_kept<T: Element>(
        &self,
        _: Checked,
        _: &Shape,
        _: &Kept,
        _: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        _: Normalization<D::Slice<'_, T::Compute>>,
        _: Epilogue<D::Slice<'_, T>, &mut GpuMask<D>, D::SliceMut<'_, T>>,
    ) -> Result<()> {
        Err(no_kernels_for_kept())
    }

    fn run_backward_reduce_kept<T: Element>(
        &self,
        _: Checked,
        _: &Shape,
        _: &Kept,
        _: D::Slice<'_, T>,
        _: D::Slice<'_, T>,
        _: Normalization<D::Slice<'_, T::Compute>>,
        _: ActivationBackward<&GpuMask<D>, D::Slice<'_, T>>,
        _: GradientSumsMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        Err(no_kernels_for_kept())
    }

    fn run_backward_input_kept<T: Element>(
        &self,
        _: Checked,
        _: &Shape,
        _: &Kept,
        _: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        _: D::Slice<'_, T>,
        _: Normalization<D::Slice<'_, T::Compute>>,
        _: ActivationBackward<&GpuMask<D>, D::Slice<'_, T>>,
        _: Option<GradientSums<D::Slice<'_, T::Compute>>>,
        _: Option<D::SliceMut<'_, T>>,
    ) -> Result<()> {
        Err(no_kernels_for_kept())
    }

    fn run_forward_training_kept<T: Element>(
        &self,
        _: Checked,
        _: &Shape,
        _: &Kept,
        _: D::Slice<'_, T>,
        _: Affine<D::Slice<'_, T::Compute>>,
        _: Epilogue<D::Slice<'_, T>, &mut GpuMask<D>, D::SliceMut<'_, T>>,
        _: D::SliceMut<'_, T>,
        _: StatisticsMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        Err(no_kernels_for_kept())
    }

    fn run_forward_renormalized_kept<T: Element>(
        &self,
        _: Checked,
        _: &Shape,
        _: &Kept,
        _: D::Slice<'_, T>,
        _: Affine<D::Slice<'_, T::Compute>>,
        _: RunningReference<D::Slice<'_, T::Compute>>,
        _: Epilogue<D::Slice<'_, T>, &mut GpuMask<D>, D::SliceMut<'_, T>>,
        _: D::SliceMut<'_, T>,
        _: StatisticsMut<D::SliceMut<'_, T::Compute>>,
        _: RenormalizedMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        Err(no_kernels_for_kept())
    }

    fn run_backward_kept<T: Element>(
        &self,
        _: Checked,
        _: &Shape,
        _: &Kept,
        _: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        _: D::Slice<'_, T>,
        _: Normalization<D::Slice<'_, T::Compute>>,
        _: StatisticsSource,
        _: ActivationBackward<&GpuMask<D>, D::Slice<'_, T>>,
        _: Option<D::SliceMut<'_, T>>,
        _: GradientSumsMut<D::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        Err(no_kernels_for_kept())
    }
}

/// There are none.
fn no_kernels_for_kept() -> Error {
    Error::Value {
        what: "the device of a batch of which not all is kept",
        found: "a GPU".to_owned(),
        needed: "the processor: there are no GPU kernels for that yet",
    }
}
