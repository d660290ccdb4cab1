//! The contract on a GPU: each method checks its operands, asks the plan, and launches.

use std::ops::Range;

use crate::backend::Backend;
use crate::backend::checks::{
    check_backward, check_gradients_out, check_in_out, check_normalization, check_part,
    check_residual, check_statistics_out, check_sums,
};
use crate::backend::operands::{
    Affine, Epilogue, Gate, GradientSums, GradientSumsMut, InOut, Statistics, StatisticsSource,
};
use crate::config::{check_inference_epsilon, check_training_epsilon};
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::gpu::arguments::{Activation, Saved};
use crate::gpu::driver::Driver;
use crate::gpu::kernel::Operation;
use crate::gpu::operands::{Operands, check_mask};
use crate::gpu::plan::split::Step;
use crate::gpu::plan::view::View;
use crate::gpu::plan::{LaunchPlan, Pass};
use crate::gpu::{Gpu, GpuMask, Normalization, StatisticsMut, plan};
use crate::shape::{Shape, check_len};

impl<D: Driver> Gpu<D> {
    fn step<T: Element>(&self, step: Step, view: &View) -> LaunchPlan {
        plan::step(step, view, T::DTYPE, self.driver.attributes())
    }

    fn fused<T: Element>(&self, pass: Pass, view: &View) -> Option<LaunchPlan> {
        let device = self.driver.attributes();
        plan::fused(pass, view, T::DTYPE, device, &self.tuning)
    }
}

impl<'a, D: Driver> Operands<'a, D> {
    fn epilogue<'longer: 'a, T: Element>(&mut self, epilogue: Epilogue<'longer, Gpu<D>, T>) {
        match epilogue {
            Epilogue::None => {}
            Epilogue::Relu => self.set(|arguments| arguments.choices.activation = Activation::Relu),
            Epilogue::Add(residual) => self.residual(residual),
            Epilogue::AddRelu(residual, mask) => {
                self.residual(residual);
                self.set(|arguments| arguments.choices.activation = Activation::Relu);
                if let Some(mask) = mask {
                    let mask = self.write_lent(D::lend_mut(&mut mask.memory));
                    self.saved_mask(mask);
                }
            }
        }
    }

    fn gate<'longer: 'a>(&mut self, gate: Gate<'longer, Gpu<D>>) {
        match gate {
            Gate::Open => {}
            Gate::Relu => self.set(|arguments| arguments.choices.activation = Activation::Relu),
            Gate::Mask(mask) => {
                self.set(|arguments| arguments.choices.activation = Activation::Relu);
                let mask = self.read(D::lend(&mask.memory));
                self.saved_mask(mask);
            }
        }
    }

    /// What forward writes and backward reads of v.
    fn saved_mask(&mut self, mask: u64) {
        self.set(|arguments| {
            arguments.choices.saved = Saved::Mask;
            arguments.arrays.mask = mask;
        });
    }
}

fn check_epilogue<D: Driver, T: Element>(
    shape: &Shape,
    view: &View,
    epilogue: &Epilogue<'_, Gpu<D>, T>,
) -> Result<()> {
    check_residual(shape, epilogue)?;
    match epilogue {
        Epilogue::AddRelu(_, Some(mask)) => check_mask(view, mask),
        _ => Ok(()),
    }
}

fn check_gate<D: Driver>(view: &View, gate: Gate<'_, Gpu<D>>) -> Result<()> {
    match gate {
        Gate::Mask(mask) => check_mask(view, mask),
        Gate::Open | Gate::Relu => Ok(()),
    }
}

impl<D: Driver> Backend for Gpu<D> {
    type Buffer<T: Element> = D::Buffer<T>;
    type Slice<'a, T: Element> = D::Slice<'a, T>;
    type SliceMut<'a, T: Element> = D::SliceMut<'a, T>;
    type Mask = GpuMask<D>;

    fn zeros<T: Element>(&self, len: usize) -> Result<D::Buffer<T>> {
        self.driver.zeros(len)
    }

    fn upload<T: Element>(&self, values: &[T]) -> Result<D::Buffer<T>> {
        self.driver.upload(values)
    }

    fn download<T: Element>(&self, memory: D::Slice<'_, T>) -> Result<Vec<T>> {
        self.driver.download(memory)
    }

    fn copy<T: Element>(&self, from: D::Slice<'_, T>, to: D::SliceMut<'_, T>) -> Result<()> {
        let needed = D::len(&D::relend(&to));
        check_len("the memory copied from", D::len(&from), needed)?;
        self.driver.copy(from, to)
    }

    fn mask<T: Element>(&self, shape: &Shape) -> Result<GpuMask<D>> {
        let bytes = View::of(shape, T::DTYPE).mask_bytes();
        let memory = self.driver.zeros(bytes.div_ceil(size_of::<f32>()))?;
        Ok(GpuMask { memory, bytes })
    }

    fn lend<T: Element>(buffer: &D::Buffer<T>) -> D::Slice<'_, T> {
        D::lend(buffer)
    }

    fn lend_mut<T: Element>(buffer: &mut D::Buffer<T>) -> D::SliceMut<'_, T> {
        D::lend_mut(buffer)
    }

    fn relend<'a, T: Element>(slice: &'a D::SliceMut<'_, T>) -> D::Slice<'a, T> {
        D::relend(slice)
    }

    fn relend_mut<'a, T: Element>(slice: &'a mut D::SliceMut<'_, T>) -> D::SliceMut<'a, T> {
        D::relend_mut(slice)
    }

    fn narrow<'short, 'long: 'short, T: Element>(slice: D::Slice<'long, T>) -> D::Slice<'short, T> {
        D::narrow(slice)
    }

    fn part<'a, T: Element>(
        slice: &'a D::Slice<'_, T>,
        range: Range<usize>,
    ) -> Result<D::Slice<'a, T>> {
        check_part(D::len(slice), &range)?;
        Ok(D::part(slice, range))
    }

    fn part_mut<'a, T: Element>(
        slice: &'a mut D::SliceMut<'_, T>,
        range: Range<usize>,
    ) -> Result<D::SliceMut<'a, T>> {
        check_part(D::len(&D::relend(slice)), &range)?;
        Ok(D::part_mut(slice, range))
    }

    fn len<T: Element>(slice: &D::Slice<'_, T>) -> usize {
        D::len(slice)
    }

    fn statistics<T: Element>(
        &self,
        shape: &Shape,
        x: D::Slice<'_, T>,
        epsilon: f64,
        mut out: StatisticsMut<'_, D, T::Compute>,
    ) -> Result<()> {
        shape.check_len("x", D::len(&x))?;
        check_statistics_out(shape, &out)?;
        check_training_epsilon(epsilon)?;
        if shape.is_empty() {
            return Err(Error::TooFewValues {
                found: 0,
                shape: shape.to_string(),
            });
        }
        let view = View::of(shape, T::DTYPE);
        let mut operands = Operands::new(&self.driver, view);
        operands.x(x);
        operands.statistics_out(&mut out);
        operands.set(|arguments| arguments.numbers.epsilon = epsilon);
        operands.launch(&self.step::<T>(Step::Statistics, &view))
    }

    fn inverse_std<C: Compute>(
        &self,
        variance: D::Slice<'_, C>,
        epsilon: f64,
        mut inv_std: D::SliceMut<'_, C>,
    ) -> Result<()> {
        let channels = D::len(&variance);
        check_len("inv_std", D::len(&D::relend(&inv_std)), channels)?;
        check_inference_epsilon(epsilon)?;
        if channels == 0 {
            return Ok(());
        }
        let mut operands = Operands::without_arrays(&self.driver);
        let variance = operands.read(variance);
        let inv_std = operands.write(&mut inv_std);
        operands.set(|arguments| {
            arguments.channel.variance = variance;
            arguments.channel.inv_std = inv_std;
            arguments.numbers.epsilon = epsilon;
        });
        operands.launch_channels(Operation::InverseStd, C::DTYPE, channels)
    }

    fn update_running<C: Compute>(
        &self,
        batch: Statistics<'_, Self, C>,
        factor: f64,
        correction: f64,
        mut running_mean: D::SliceMut<'_, C>,
        mut running_variance: D::SliceMut<'_, C>,
    ) -> Result<()> {
        let channels = D::len(&D::relend(&running_mean));
        check_len(
            "running_variance",
            D::len(&D::relend(&running_variance)),
            channels,
        )?;
        check_len("mean", D::len(&batch.mean), channels)?;
        check_len("mean_low", D::len(&batch.mean_low), channels)?;
        check_len("variance", D::len(&batch.variance), channels)?;
        if channels == 0 {
            return Ok(());
        }
        let mut operands = Operands::without_arrays(&self.driver);
        let mean = operands.read(batch.mean);
        let mean_low = operands.read(batch.mean_low);
        let variance = operands.read(batch.variance);
        let running_mean = operands.write(&mut running_mean);
        let running_variance = operands.write(&mut running_variance);
        operands.set(|arguments| {
            (arguments.channel.mean, arguments.channel.mean_low) = (mean, mean_low);
            arguments.channel.variance = variance;
            arguments.channel.running_mean = running_mean;
            arguments.channel.running_variance = running_variance;
            arguments.numbers.running_weight = factor;
            arguments.numbers.variance_correction = correction;
        });
        operands.launch_channels(Operation::UpdateRunning, C::DTYPE, channels)
    }

    fn normalize<T: Element>(
        &self,
        shape: &Shape,
        mut x_to_y: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        with: Normalization<'_, D, T::Compute>,
        epilogue: Epilogue<'_, Self, T>,
    ) -> Result<()> {
        let view = View::of(shape, T::DTYPE);
        check_in_out::<Self, T>(shape, "x", "y", &x_to_y)?;
        check_normalization(shape, &with)?;
        check_epilogue(shape, &view, &epilogue)?;
        if shape.is_empty() {
            return Ok(());
        }
        let mut operands = Operands::new(&self.driver, view);
        operands.x_to_out::<T>(&mut x_to_y);
        operands.normalization(with);
        operands.epilogue(epilogue);
        operands.launch(&self.step::<T>(Step::Normalize, &view))
    }

    fn backward_reduce<T: Element>(
        &self,
        shape: &Shape,
        dy: D::Slice<'_, T>,
        x: D::Slice<'_, T>,
        with: Normalization<'_, D, T::Compute>,
        gate: Gate<'_, Self>,
        mut out: GradientSumsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        let view = View::of(shape, T::DTYPE);
        shape.check_len("dy", D::len(&dy))?;
        shape.check_len("x", D::len(&x))?;
        check_normalization(shape, &with)?;
        check_gate(&view, gate)?;
        check_gradients_out(shape, &out)?;
        if shape.is_empty() {
            return self.no_gradients(&mut out);
        }
        let mut operands = Operands::new(&self.driver, view);
        operands.dy(dy);
        operands.x(x);
        operands.normalization(with);
        operands.gate(gate);
        operands.gradients_out(&mut out);
        operands.launch(&self.step::<T>(Step::BackwardReduce, &view))
    }

    fn backward_input<T: Element>(
        &self,
        shape: &Shape,
        mut dy_to_dx: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        x: D::Slice<'_, T>,
        with: Normalization<'_, D, T::Compute>,
        gate: Gate<'_, Self>,
        sums: Option<GradientSums<'_, Self, T::Compute>>,
        mut dresidual: Option<D::SliceMut<'_, T>>,
    ) -> Result<()> {
        let view = View::of(shape, T::DTYPE);
        check_backward::<Self, T>(shape, &dy_to_dx, &x, &with, dresidual.as_ref())?;
        check_gate(&view, gate)?;
        if let Some(sums) = &sums {
            check_sums(shape, sums)?;
        }
        if shape.is_empty() {
            return Ok(());
        }
        let mut operands = Operands::new(&self.driver, view);
        operands.dy_to_out::<T>(&mut dy_to_dx);
        operands.x(x);
        operands.normalization(with);
        operands.gate(gate);
        if let Some(dresidual) = &mut dresidual {
            operands.dresidual(dresidual);
        }
        if let Some(sums) = sums {
            let (gamma, beta) = (operands.read(sums.gamma), operands.read(sums.beta));
            operands.set(|arguments| {
                (arguments.channel.dgamma, arguments.channel.dbeta) = (gamma, beta);
                arguments.numbers.count = sums.count as f64;
                arguments.choices.batch_statistics = 1;
            });
        }
        operands.launch(&self.step::<T>(Step::BackwardInput, &view))
    }

    fn forward_training<T: Element>(
        &self,
        shape: &Shape,
        x: D::Slice<'_, T>,
        affine: Affine<'_, Self, T::Compute>,
        epilogue: Epilogue<'_, Self, T>,
        mut y: D::SliceMut<'_, T>,
        mut out: StatisticsMut<'_, D, T::Compute>,
    ) -> Result<()> {
        let view = View::of(shape, T::DTYPE);
        shape.check_len("x", D::len(&x))?;
        shape.check_len("y", D::len(&D::relend(&y)))?;
        shape.check_channels("gamma", D::len(&affine.gamma))?;
        shape.check_channels("beta", D::len(&affine.beta))?;
        check_training_epsilon(affine.epsilon)?;
        check_statistics_out(shape, &out)?;
        check_epilogue(shape, &view, &epilogue)?;
        if shape.values_per_channel() < 2 {
            return Err(Error::TooFewValues {
                found: shape.values_per_channel(),
                shape: shape.to_string(),
            });
        }
        let mut operands = Operands::new(&self.driver, view);
        operands.x(x);
        operands.out::<T>(&mut y);
        operands.statistics_out(&mut out);
        operands.epilogue(epilogue);
        let (gamma, beta) = (operands.read(affine.gamma), operands.read(affine.beta));
        operands.set(|arguments| {
            (arguments.channel.gamma, arguments.channel.beta) = (gamma, beta);
            arguments.numbers.epsilon = affine.epsilon;
        });
        if let Some(plan) = self.fused::<T>(Pass::Forward, &view) {
            return operands.launch(&plan);
        }
        operands.launch(&self.step::<T>(Step::Statistics, &view))?;
        operands.set(|arguments| arguments.choices.reverse = 1);
        operands.launch(&self.step::<T>(Step::Normalize, &view))
    }

    fn backward<T: Element>(
        &self,
        shape: &Shape,
        mut dy_to_dx: InOut<D::Slice<'_, T>, D::SliceMut<'_, T>>,
        x: D::Slice<'_, T>,
        with: Normalization<'_, D, T::Compute>,
        source: StatisticsSource,
        gate: Gate<'_, Self>,
        mut dresidual: Option<D::SliceMut<'_, T>>,
        mut out: GradientSumsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        let view = View::of(shape, T::DTYPE);
        check_backward::<Self, T>(shape, &dy_to_dx, &x, &with, dresidual.as_ref())?;
        check_gate(&view, gate)?;
        check_gradients_out(shape, &out)?;
        if shape.is_empty() {
            return self.no_gradients(&mut out);
        }
        let mut operands = Operands::new(&self.driver, view);
        operands.dy_to_out::<T>(&mut dy_to_dx);
        operands.x(x);
        operands.normalization(with);
        operands.gate(gate);
        operands.gradients_out(&mut out);
        if let Some(dresidual) = &mut dresidual {
            operands.dresidual(dresidual);
        }
        if source == StatisticsSource::Running {
            // The kernel that reduces writes dx in the same pass if it is told where.
            return operands.launch(&self.step::<T>(Step::BackwardReduce, &view));
        }
        operands.set(|arguments| {
            arguments.numbers.count = shape.values_per_channel() as f64;
            arguments.choices.batch_statistics = 1;
        });
        if let Some(plan) = self.fused::<T>(Pass::Backward, &view) {
            return operands.launch(&plan);
        }
        let out = operands.take_out();
        operands.launch(&self.step::<T>(Step::BackwardReduce, &view))?;
        operands.set(|arguments| {
            arguments.arrays.out = out;
            arguments.choices.reverse = 1;
        });
        operands.launch(&self.step::<T>(Step::BackwardInput, &view))
    }
}

impl<D: Driver> Gpu<D> {
    /// Of an empty batch.
    fn no_gradients<C: Compute>(&self, out: &mut GradientSumsMut<'_, Self, C>) -> Result<()> {
        for sums in [&mut out.gamma, &mut out.beta] {
            let zeros = self.driver.zeros::<C>(D::len(&D::relend(sums)))?;
            self.driver.copy(D::lend(&zeros), D::relend_mut(sums))?;
        }
        Ok(())
    }
}
