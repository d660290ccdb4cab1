//! The contract on the CPU: each method checks its operands and hands them to the step of its name.

use std::ops::Range;

use crate::backend;
use crate::backend::Backend;
use crate::backend::checks::{
    check_backward, check_gradients_out, check_in_out, check_normalization, check_part,
    check_statistics_out, check_sums,
};
use crate::backend::operands::{
    Affine, Epilogue, GradientSums, GradientSumsMut, InOut, RunningMut, Statistics, StatisticsMut,
    StatisticsSource,
};
use crate::config::{check_inference_epsilon, check_training_epsilon};
use crate::cpu::kernels::backward_input::BackwardParams;
use crate::cpu::kernels::{backward_input, backward_reduce, fused, normalize, statistics};
use crate::cpu::operands::{check_epilogue, check_gate, write_gradients, write_statistics};
use crate::cpu::reduce::finalize;
use crate::cpu::tiling::view::MatrixView;
use crate::cpu::{Cpu, CpuMask, Normalization, running};
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::shape::{Shape, check_len};

impl Backend for Cpu {
    type Buffer<T: Element> = Vec<T>;
    type Slice<'a, T: Element> = &'a [T];
    type SliceMut<'a, T: Element> = &'a mut [T];
    type Mask = CpuMask;

    fn zeros<T: Element>(&self, len: usize) -> Result<Vec<T>> {
        filled(len, T::default())
    }

    fn upload<T: Element>(&self, values: &[T]) -> Result<Vec<T>> {
        let mut buffer = reserved(values.len())?;
        buffer.extend_from_slice(values);
        Ok(buffer)
    }

    fn download<T: Element>(&self, memory: &[T]) -> Result<Vec<T>> {
        self.upload(memory)
    }

    fn copy<T: Element>(&self, from: &[T], to: &mut [T]) -> Result<()> {
        check_len("the memory copied from", from.len(), to.len())?;
        to.copy_from_slice(from);
        Ok(())
    }

    fn mask<T: Element>(&self, shape: &Shape) -> Result<CpuMask> {
        Ok(CpuMask(filled(MatrixView::of(shape).mask_bytes(), 0)?))
    }

    fn lend<T: Element>(buffer: &Vec<T>) -> &[T] {
        buffer
    }

    fn lend_mut<T: Element>(buffer: &mut Vec<T>) -> &mut [T] {
        buffer
    }

    fn relend<'a, T: Element>(slice: &'a &mut [T]) -> &'a [T] {
        slice
    }

    #[expect(clippy::mut_mut, reason = "a slice lent on")]
    fn relend_mut<'a, T: Element>(slice: &'a mut &mut [T]) -> &'a mut [T] {
        slice
    }

    fn narrow<'short, 'long: 'short, T: Element>(slice: &'long [T]) -> &'short [T] {
        slice
    }

    fn part<'a, T: Element>(slice: &'a &[T], range: Range<usize>) -> Result<&'a [T]> {
        check_part(slice.len(), &range)?;
        Ok(&slice[range])
    }

    #[expect(clippy::mut_mut, reason = "a slice lent on")]
    fn part_mut<'a, T: Element>(
        slice: &'a mut &mut [T],
        range: Range<usize>,
    ) -> Result<&'a mut [T]> {
        check_part(slice.len(), &range)?;
        Ok(&mut slice[range])
    }

    fn len<T: Element>(slice: &&[T]) -> usize {
        slice.len()
    }

    fn statistics<T: Element>(
        &self,
        shape: &Shape,
        x: &[T],
        epsilon: f64,
        mut out: StatisticsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        shape.check_len("x", x.len())?;
        check_statistics_out(shape, &out)?;
        check_training_epsilon(epsilon)?;
        if shape.is_empty() {
            return Err(Error::TooFewValues {
                found: 0,
                shape: shape.to_string(),
            });
        }
        let matrix = MatrixView::of(shape);
        let moments = statistics::moments(self, &matrix.for_statistics(1, size_of::<T>()), x);
        write_statistics(
            &finalize::finalize(&moments, &matrix, 0, x, epsilon),
            &mut out,
        );
        self.follow(out)
    }

    fn inverse_std<C: Compute>(
        &self,
        variance: &[C],
        epsilon: f64,
        inv_std: &mut [C],
    ) -> Result<()> {
        check_len("inv_std", inv_std.len(), variance.len())?;
        check_inference_epsilon(epsilon)?;
        for (inv_std, variance) in inv_std.iter_mut().zip(variance) {
            *inv_std = C::from_f64(1.0 / (variance.to_f64() + epsilon).sqrt());
        }
        Ok(())
    }

    fn update_running<C: Compute>(
        &self,
        batch: Statistics<'_, Self, C>,
        factor: f64,
        correction: f64,
        running_mean: &mut [C],
        running_variance: &mut [C],
    ) -> Result<()> {
        let channels = running_mean.len();
        check_len("running_variance", running_variance.len(), channels)?;
        check_len("mean", batch.mean.len(), channels)?;
        check_len("mean_low", batch.mean_low.len(), channels)?;
        check_len("variance", batch.variance.len(), channels)?;
        running::follow(running_mean, factor, |c| {
            batch.mean[c].to_f64() + batch.mean_low[c].to_f64()
        });
        running::follow(running_variance, factor, |c| {
            batch.variance[c].to_f64() * correction
        });
        Ok(())
    }

    fn normalize<T: Element>(
        &self,
        shape: &Shape,
        x_to_y: InOut<&[T], &mut [T]>,
        with: Normalization<'_, T::Compute>,
        epilogue: Epilogue<'_, Self, T>,
    ) -> Result<()> {
        let matrix = MatrixView::of(shape);
        check_in_out::<Self, T>(shape, "x", "y", &x_to_y)?;
        check_normalization(shape, &with)?;
        let (epilogue, mask) = check_epilogue(shape, &matrix, epilogue)?;
        if !shape.is_empty() {
            normalize::normalize(self, &matrix.by_rows(), x_to_y, &with, epilogue, mask);
        }
        Ok(())
    }

    fn backward_reduce<T: Element>(
        &self,
        shape: &Shape,
        dy: &[T],
        x: &[T],
        with: Normalization<'_, T::Compute>,
        gate: backend::Gate<'_, Self>,
        mut out: GradientSumsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        let matrix = MatrixView::of(shape);
        shape.check_len("dy", dy.len())?;
        shape.check_len("x", x.len())?;
        check_normalization(shape, &with)?;
        let gate = check_gate(&matrix, gate)?;
        check_gradients_out(shape, &out)?;
        let sums = if shape.is_empty() {
            backward_reduce::AffineGradients::none(shape.channels())
        } else {
            backward_reduce::reduce(
                self,
                &matrix.for_statistics(2, size_of::<T>()),
                dy,
                x,
                &with,
                gate,
            )
        };
        write_gradients(&sums, &mut out);
        Ok(())
    }

    fn backward_input<T: Element>(
        &self,
        shape: &Shape,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<'_, T::Compute>,
        gate: backend::Gate<'_, Self>,
        sums: Option<GradientSums<'_, Self, T::Compute>>,
        dresidual: Option<&mut [T]>,
    ) -> Result<()> {
        let matrix = MatrixView::of(shape);
        check_backward::<Self, T>(shape, &dy_to_dx, &x, &with, dresidual.as_ref())?;
        let gate = check_gate(&matrix, gate)?;
        let source = if sums.is_some() {
            StatisticsSource::Batch
        } else {
            StatisticsSource::Running
        };
        if let Some(sums) = &sums {
            check_sums(shape, sums)?;
        }
        if shape.is_empty() {
            return Ok(());
        }
        let means = |c: usize| {
            sums.as_ref().map(|sums| {
                [sums.gamma[c], sums.beta[c]].map(|sum| sum.to_f64() / sums.count as f64)
            })
        };
        backward_input::input(
            self,
            &matrix.by_rows(),
            dy_to_dx,
            x,
            BackwardParams {
                with,
                source,
                activation: gate,
            },
            means,
            dresidual,
        );
        Ok(())
    }

    fn forward_training<T: Element>(
        &self,
        shape: &Shape,
        x: &[T],
        affine: Affine<'_, Self, T::Compute>,
        epilogue: Epilogue<'_, Self, T>,
        y: &mut [T],
        mut out: StatisticsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        let matrix = MatrixView::of(shape);
        shape.check_len("x", x.len())?;
        shape.check_len("y", y.len())?;
        shape.check_channels("gamma", affine.gamma.len())?;
        shape.check_channels("beta", affine.beta.len())?;
        check_training_epsilon(affine.epsilon)?;
        check_statistics_out(shape, &out)?;
        let (epilogue, mask) = check_epilogue(shape, &matrix, epilogue)?;
        if shape.values_per_channel() < 2 {
            return Err(Error::TooFewValues {
                found: shape.values_per_channel(),
                shape: shape.to_string(),
            });
        }
        write_statistics(
            &fused::forward_training(self, &matrix, x, affine, epilogue, mask, y),
            &mut out,
        );
        self.follow(out)
    }

    fn backward<T: Element>(
        &self,
        shape: &Shape,
        dy_to_dx: InOut<&[T], &mut [T]>,
        x: &[T],
        with: Normalization<'_, T::Compute>,
        source: StatisticsSource,
        gate: backend::Gate<'_, Self>,
        dresidual: Option<&mut [T]>,
        mut out: GradientSumsMut<'_, Self, T::Compute>,
    ) -> Result<()> {
        let matrix = MatrixView::of(shape);
        check_backward::<Self, T>(shape, &dy_to_dx, &x, &with, dresidual.as_ref())?;
        let gate = check_gate(&matrix, gate)?;
        check_gradients_out(shape, &out)?;
        let sums = if shape.is_empty() {
            backward_reduce::AffineGradients::none(shape.channels())
        } else {
            fused::backward(
                self,
                &matrix,
                dy_to_dx,
                x,
                BackwardParams {
                    with,
                    source,
                    activation: gate,
                },
                dresidual,
            )
        };
        write_gradients(&sums, &mut out);
        Ok(())
    }
}

impl Cpu {
    /// Has the running statistics follow what was written, if any are to.
    fn follow<C: Compute>(&self, written: StatisticsMut<'_, Self, C>) -> Result<()> {
        let Some(running) = written.running else {
            return Ok(());
        };
        let batch = Statistics {
            mean: &*written.mean,
            mean_low: &*written.mean_low,
            variance: &*written.variance,
            inv_std: &*written.inv_std,
        };
        let RunningMut {
            mean,
            variance,
            factor,
            correction,
        } = running;
        self.update_running(batch, factor, correction, mean, variance)
    }
}

/// An empty vector with room for so many values, or the error that there is none.
fn reserved<T>(len: usize) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory {
            bytes: len.saturating_mul(size_of::<T>()),
        })?;
    Ok(buffer)
}

fn filled<T: Clone>(len: usize, value: T) -> Result<Vec<T>> {
    let mut buffer = reserved(len)?;
    buffer.resize(len, value);
    Ok(buffer)
}
