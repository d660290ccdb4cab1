//! The steps on the CPU: each hands its operands to the kernel of its name.

use crate::backend::checked::Checked;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, InOut, Normalization, RunningMut, Statistics,
    StatisticsMut, StatisticsSource,
};
use crate::backend::steps::Steps;
use crate::cpu::memory::buffer::CpuBuffer;
use crate::cpu::memory::scratch::or_no_room;
use crate::cpu::operands::{activation_of, epilogue_of, write_statistics};
use crate::cpu::steps::compiled::ChannelElement;
use crate::cpu::steps::separate::BackwardParams;
use crate::cpu::steps::two_factors::TwoFactors;
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
        let view = MatrixView::of(shape);
        let finalized = self.attempt(size_of_val(x), || {
            T::statistics(self, &view.for_statistics(1, size_of::<T>()), x, epsilon)
        })?;
        write_statistics(&finalized, &mut out);
        self.update_running_of(checked, out)
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
        C::follow(&batch, running);
        Ok(())
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
        let (epilogue, saved) = epilogue_of(epilogue);
        let bytes = size_of_val(x_to_y.input());
        let factors = TwoFactors::of(&view, x_to_y.input(), &with)?;
        let (x_to_y, with) = match &factors {
            Some(factors) => (factors.in_place_of_x(x_to_y), factors.normalization(&with)),
            None => (x_to_y, with),
        };
        self.attempt(bytes, || {
            T::normalize_all(self, &view.by_rows(), x_to_y, &with, epilogue, saved);
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
        let activation = activation_of(activation);
        let tiling = view.for_statistics(2, size_of::<T>());
        let factors = TwoFactors::of(&view, x, &with)?;
        let (x, with) = match &factors {
            Some(factors) => (factors.x(), factors.normalization(&with)),
            None => (x, with),
        };
        let sums = self.attempt(size_of_val(x), || {
            T::reduce_all(self, &tiling, dy, x, &with, activation)
        })?;
        <T::Compute as ChannelElement>::write_gradients(&sums, &mut out);
        Ok(())
    }

    fn run_backward_input<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        mut dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        activation: ActivationBackward<&CpuMask, &[T]>,
        sums: Option<GradientSums<&[T::Compute]>>,
        dresidual: Option<&mut [T]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        let activation = activation_of(activation);
        let source = if sums.is_some() {
            StatisticsSource::Batch
        } else {
            StatisticsSource::Running
        };
        let means = |c: usize| {
            sums.as_ref().map(|sums| {
                [sums.gamma[c], sums.beta[c]].map(|sum| sum.to_f64() / sums.count as f64)
            })
        };
        let factors = TwoFactors::of(&view, x, &with)?;
        let (x, with) = match &factors {
            Some(factors) => (factors.x(), factors.normalization(&with)),
            None => (x, with),
        };
        let params = BackwardParams {
            with,
            source,
            activation,
        };
        self.attempt(size_of_val(x), || {
            let (tiling, dy_to_dx) = (view.by_rows(), dy_to_dx.reborrow());
            T::input_all(self, &tiling, dy_to_dx, x, params, &means, dresidual);
        })?;
        if let Some(factors) = factors {
            factors.multiply(dy_to_dx.output());
        }
        Ok(())
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
        let view = MatrixView::of(shape);
        let (epilogue, mut saved) = epilogue_of(epilogue);
        let finalized = self.attempt(size_of_val(x), || {
            let saved = (saved.as_mut().map_mask(|mask| &mut **mask)).map_values(|v| &mut **v);
            T::forward_training(self, &view, x, affine, epilogue, saved, y)
        })?;
        let with = finalized.normalization(affine.gamma, affine.beta);
        if let Some(factors) = TwoFactors::of(&view, x, &with)? {
            let (x_to_y, with) = (
                InOut::Separate(factors.x(), y),
                factors.normalization(&with),
            );
            self.attempt(size_of_val(x), || {
                T::normalize_all(self, &view.by_rows(), x_to_y, &with, epilogue, saved);
            })?;
        }
        write_statistics(&finalized, &mut out);
        self.update_running_of(checked, out)
    }

    fn run_backward<T: Element>(
        &self,
        _: Checked,
        shape: &Shape,
        mut dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<&[T::Compute]>,
        source: StatisticsSource,
        activation: ActivationBackward<&CpuMask, &[T]>,
        dresidual: Option<&mut [T]>,
        mut out: GradientSumsMut<&mut [T::Compute]>,
    ) -> Result<()> {
        let view = MatrixView::of(shape);
        let activation = activation_of(activation);
        let factors = TwoFactors::of(&view, x, &with)?;
        let (x, with) = match &factors {
            Some(factors) => (factors.x(), factors.normalization(&with)),
            None => (x, with),
        };
        let params = BackwardParams {
            with,
            source,
            activation,
        };
        let sums = self.attempt(size_of_val(x), || {
            T::backward(self, &view, dy_to_dx.reborrow(), x, params, dresidual)
        })?;
        if let Some(factors) = factors {
            factors.multiply(dy_to_dx.output());
        }
        <T::Compute as ChannelElement>::write_gradients(&sums, &mut out);
        Ok(())
    }
}

impl Cpu {
    /// Does work that goes over so many bytes, if there are the threads and the memory for it.
    fn attempt<R>(&self, bytes: usize, work: impl FnOnce() -> R) -> Result<R> {
        self.threads.check(bytes)?;
        or_no_room(work)
    }

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
