//! The steps on a GPU: each asks the plan, and launches.

use crate::backend::checked::Checked;
use crate::backend::composed;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, GradientsOfGradients, InOut, MomentsMut, Normalization,
    RenormalizedMut, RunningMut, RunningReference, SecondGradientsMut, Statistics, StatisticsMut,
    StatisticsSource,
};
use crate::backend::steps::Steps;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::gpu::driver::{Driver, Launched};
use crate::gpu::in_f64;
use crate::gpu::kernel::Operation;
use crate::gpu::operands::Operands;
use crate::gpu::plan::launch_plan::{LaunchPlan, Pass, PassPlan};
use crate::gpu::plan::split::{self, Step};
use crate::gpu::plan::view::View;
use crate::gpu::renormalization::renormalize;
use crate::gpu::{Gpu, GpuMask};
use crate::shape::{Shape, check_len};

impl<D: Driver> Gpu<D> {
    /// Launches a pass that is planned as one launch; or gives the two launches that it is planned as, which are left to the
    /// caller. A launch that the device has no room for is planned anew without what it lacked.
    fn launch_unless_split<T: Element>(
        &self,
        pass: Pass,
        view: &View,
        operands: &Operands<'_, D>,
    ) -> Result<Option<[LaunchPlan; 2]>> {
        loop {
            let plan = match self.plans.of(pass, view, T::DTYPE) {
                PassPlan::Whole(plan) => plan,
                PassPlan::Steps { reduce, write } => return Ok(Some([reduce, write])),
            };
            match operands.try_launch(&plan)? {
                Launched::InStream => return Ok(None),
                Launched::NoRoom(error) => {
                    if !self.plans.do_without(&plan.launch) {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// A step's launch.
fn step<T: Element>(step: Step, view: &View) -> LaunchPlan {
    split::step(step, view, T::DTYPE)
}

impl<D: Driver> Steps for Gpu<D> {
    type Mask = GpuMask<D>;

    fn new_mask<T: Element>(&self, shape: &Shape) -> Result<GpuMask<D>> {
        let bytes = View::of(shape, T::DTYPE).mask_bytes();
        let memory = self.driver.unspecified(bytes.div_ceil(size_of::<f32>()))?;
        Ok(GpuMask { memory, bytes })
    }

    fn check_mask<T: Element>(shape: &Shape, mask: &GpuMask<D>) -> Result<()> {
        let needed = View::of(shape, T::DTYPE).mask_bytes();
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
        let view = View::of(shape, T::DTYPE);
        let mut operands = Operands::new(&self.driver, view);
        operands.x::<T>(x)?;
        operands.statistics_out::<T::Compute>(&mut out)?;
        operands.arguments.numbers.epsilon = epsilon;
        operands.launch(&step::<T>(Step::Statistics, &view))
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
        let mut operands = Operands::without_arrays(&self.driver);
        let variance = operands.read::<C>(variance)?;
        let inv_std = operands.write::<C>(&mut inv_std)?;
        operands.arguments.channel.variance = variance;
        operands.arguments.channel.inv_std = inv_std;
        operands.arguments.numbers.epsilon = epsilon;
        operands.launch_channels(Operation::InverseStd, C::DTYPE, channels)
    }

    fn run_update_running<C: Compute>(
        &self,
        _: Checked,
        batch: Statistics<D::Slice<'_, C>>,
        mut running: RunningMut<D::SliceMut<'_, C>>,
    ) -> Result<()> {
        let channels = D::len::<C>(&batch.mean);
        let mut operands = Operands::without_arrays(&self.driver);
        let mean = operands.read::<C>(batch.mean)?;
        let mean_low = operands.read::<C>(batch.mean_low)?;
        let variance = operands.read::<C>(batch.variance)?;
        operands.running_out::<C>(&mut running)?;
        operands.arguments.channel.mean = mean;
        operands.arguments.channel.mean_low = mean_low;
        operands.arguments.channel.variance = variance;
        operands.launch_channels(Operation::UpdateRunning, C::DTYPE, channels)
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
        let view = View::of(shape, T::DTYPE);
        let mut operands = Operands::new(&self.driver, view);
        operands.x_to_out::<T>(&mut x_to_y)?;
        operands.normalization::<T::Compute>(with)?;
        operands.epilogue::<T>(&mut epilogue)?;
        operands.launch(&step::<T>(Step::Normalize, &view))
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
        let view = View::of(shape, T::DTYPE);
        let mut operands = Operands::new(&self.driver, view);
        operands.dy::<T>(dy)?;
        operands.x::<T>(x)?;
        operands.normalization::<T::Compute>(with)?;
        operands.activation::<T>(activation)?;
        operands.gradients_out::<T::Compute>(&mut out)?;
        operands.launch(&step::<T>(Step::BackwardReduce, &view))
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
        let view = View::of(shape, T::DTYPE);
        let mut operands = Operands::new(&self.driver, view);
        operands.dy_to_out::<T>(&mut dy_to_dx)?;
        operands.x::<T>(x)?;
        operands.normalization::<T::Compute>(with)?;
        operands.activation::<T>(activation)?;
        if let Some(dresidual) = &mut dresidual {
            operands.dresidual::<T>(dresidual)?;
        }
        if let Some(sums) = sums {
            let gamma = operands.read::<T::Compute>(sums.gamma)?;
            let beta = operands.read::<T::Compute>(sums.beta)?;
            operands.arguments.channel.dgamma = gamma;
            operands.arguments.channel.dbeta = beta;
            operands.arguments.numbers.count = sums.count as f64;
            operands.arguments.choices.batch_statistics = 1;
        }
        operands.launch(&step::<T>(Step::BackwardInput, &view))
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
        let view = View::of(shape, T::DTYPE);
        let mut operands = Operands::new(&self.driver, view);
        operands.x::<T>(x)?;
        operands.out::<T>(&mut y)?;
        operands.statistics_out::<T::Compute>(&mut out)?;
        operands.epilogue::<T>(&mut epilogue)?;
        let gamma = operands.read::<T::Compute>(affine.gamma)?;
        let beta = operands.read::<T::Compute>(affine.beta)?;
        operands.arguments.channel.gamma = gamma;
        operands.arguments.channel.beta = beta;
        operands.arguments.numbers.epsilon = affine.epsilon;
        let Some([reduce, write]) =
            self.launch_unless_split::<T>(Pass::Forward, &view, &operands)?
        else {
            return Ok(());
        };
        operands.launch(&reduce)?;
        operands.arguments.choices.reverse = 1;
        operands.launch(&write)
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
        let view = View::of(shape, T::DTYPE);
        let mut operands = Operands::new(&self.driver, view);
        operands.dy_to_out::<T>(&mut dy_to_dx)?;
        operands.x::<T>(x)?;
        operands.normalization::<T::Compute>(with)?;
        operands.activation::<T>(activation)?;
        operands.gradients_out::<T::Compute>(&mut out)?;
        if let Some(dresidual) = &mut dresidual {
            operands.dresidual::<T>(dresidual)?;
        }
        if source == StatisticsSource::Running {
            // The kernel that reduces writes dx in the same pass if it is told where.
            return operands.launch(&step::<T>(Step::BackwardReduce, &view));
        }
        operands.arguments.numbers.count = shape.values_per_channel() as f64;
        operands.arguments.choices.batch_statistics = 1;
        let Some([reduce, write]) =
            self.launch_unless_split::<T>(Pass::Backward, &view, &operands)?
        else {
            return Ok(());
        };
        let out = operands.take_out();
        operands.launch(&reduce)?;
        operands.arguments.arrays.out = out;
        operands.arguments.choices.reverse = 1;
        operands.launch(&write)
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
}
