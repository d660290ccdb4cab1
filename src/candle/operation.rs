//! Both passes on candle's tensors, of one data type each.
#![expect(
    unsafe_code,
    reason = "outputs are not filled before a pass writes them"
)]

use candle_core::{Result, Tensor};

use crate::backend::kept::Kept;
use crate::backend::operands::{InOut, StatisticsSource};
use crate::candle::computed::Computed;
use crate::candle::double_backward::{GradientOf, SecondGradients, second_gradients};
use crate::candle::error::wrap;
use crate::candle::memory::{Borrowed, Variable, device_of, memory_dims};
use crate::candle::output::written_by;
use crate::candle::ranks::Ranks;
use crate::candle::running::{copy_running, give_running};
use crate::candle::value::Value;
use crate::config::BatchNormConfig;
use crate::device::{Device, DeviceSliceMut};
use crate::error::Error;
use crate::layer::forward::Forward;
use crate::layer::renormalization::Reference;
use crate::layer::saved::Saved;
use crate::shape::{Layout, Shape};
use crate::statistics::gradients::PooledGradients;
use crate::statistics::pooled::PooledStatistics;
use crate::synchronized::parts::RankSums;

/// The tensors of a forward pass, each one run of memory. The layer's variables are of whatever type they have.
pub(super) struct Operands<'a> {
    /// Of the shape that goes with it.
    pub(super) x: &'a Tensor,
    /// What of it is kept, if not all.
    pub(super) kept: Option<&'a Kept>,
    pub(super) residual: Option<&'a Tensor>,
    /// (C,)
    pub(super) gamma: &'a Tensor,
    /// (C,)
    pub(super) beta: &'a Tensor,
    /// (C,)
    pub(super) running_mean: &'a Tensor,
    /// (C,)
    pub(super) running_variance: &'a Tensor,
}

/// Whose statistics a forward pass normalizes with.
pub(super) enum WhoseStatistics {
    /// The batch's; the running ones follow.
    Batch,
    /// Those of a batch that this is a part of; the running ones follow.
    Ranks(PooledStatistics, Ranks),
    /// The running ones, as constants.
    Running,
}

/// What a forward pass makes.
pub(super) struct Output {
    /// y, in memory order.
    pub(super) y: Computed,
    /// The running mean and variance after the batch, where they followed it.
    pub(super) running: Option<(Tensor, Tensor)>,
    pub(super) backward: Box<dyn Backward>,
}

/// A backward pass: the data type is known to the pass alone.
pub(super) trait Backward: Send + Sync {
    /// All gradients; dy in memory order.
    fn backward(&self, x: &Tensor, dy: &Tensor) -> Result<Gradients>;

    /// Second derivatives, of one of the gradients; dy and what is with respect to that one in memory order.
    fn double_backward(
        &self,
        x: &Tensor,
        dy: &Tensor,
        of: GradientOf,
        gradient: &Tensor,
    ) -> Result<SecondGradients>;
}

/// The gradients of one pass.
pub(super) struct Gradients {
    /// Of x's shape.
    pub(super) input: Computed,
    /// The memory order of it and of the residual's.
    pub(super) layout: Layout,
    /// Where there was a residual.
    pub(super) residual: Option<Computed>,
    /// (C,), of the type that is computed in.
    pub(super) gamma: Computed,
    /// The same.
    pub(super) beta: Computed,
}

/// The forward pass.
pub(super) fn forward<T: Value<Compute: Value>>(
    config: &BatchNormConfig,
    shape: Shape,
    operands: &Operands<'_>,
    statistics: WhoseStatistics,
) -> Result<Output> {
    if let Some(kept) = operands.kept {
        kept.check(&shape).map_err(wrap)?;
    }
    let candle_device = operands.x.device();
    let device = device_of(candle_device)?;
    let before = (operands.running_mean, operands.running_variance);
    let mut running = copy_running::<T>(&device, config, before)?;
    // candle's variables can be set between the passes.
    let gamma = Variable::of::<T::Compute>(operands.gamma)?;
    let beta = Variable::of::<T::Compute>(operands.beta)?;
    let (borrowed_x, residual) = (
        Borrowed::of(operands.x),
        operands.residual.map(Borrowed::of),
    );
    // As they are before the batch.
    let reference = match &statistics {
        WhoseStatistics::Running => None,
        WhoseStatistics::Batch | WhoseStatistics::Ranks(..) => {
            Reference::of(config, &running).map_err(wrap)?
        }
    };
    let pass = Forward::<T, Device> {
        backend: &device,
        config,
        shape,
        kept: operands.kept.cloned(),
        gamma: gamma.slice()?,
        beta: beta.slice()?,
        residual: residual.as_ref().map(Borrowed::slice).transpose()?,
        reference,
        keeps_output: false,
    };
    let x = borrowed_x.slice()?;
    let epsilon = config.epsilon_value();
    let forward = |y: DeviceSliceMut<'_, T>| match statistics {
        WhoseStatistics::Ranks(whole, ranks) => {
            let part = || {
                let room = pass.room_for_given(StatisticsSource::Batch)?;
                let whole = whole.to_batch(&device, epsilon)?;
                running.follow(&device, config, whole.as_ref())?;
                pass.given(InOut::Separate(x, y), whole, room)
            };
            let saved = part().map_err(wrap)?;
            Ok((
                Typed(saved, Some(ranks)),
                Some(give_running(running, config, before)?),
            ))
        }
        WhoseStatistics::Batch => {
            let saved = pass
                .training(
                    InOut::Separate(x, y),
                    config.ghost_batch_size(),
                    Some(&mut running),
                )
                .map_err(wrap)?;
            Ok((
                Typed(saved, None),
                Some(give_running(running, config, before)?),
            ))
        }
        WhoseStatistics::Running => {
            let running = running.into_batch(&device, epsilon).map_err(wrap)?;
            let saved = pass.frozen(InOut::Separate(x, y), running).map_err(wrap)?;
            Ok((Typed(saved, None), None))
        }
    };
    // SAFETY: a forward pass reads no y and writes all of it: tests/bits holds it against NaN.
    let made = unsafe { written_by(&device, candle_device, shape.len(), forward) };
    let (storage, (backward, running)) = made?;
    let dims = memory_dims(operands.x, shape.layout());
    Ok(Output {
        y: Computed { storage, dims },
        running,
        backward: Box::new(backward),
    })
}

/// The data type is known inside. With the ranks that the sums are over, if they are.
struct Typed<T: Value<Compute: Value>>(Saved<T, Device>, Option<Ranks>);

impl<T: Value<Compute: Value>> Typed<T> {
    /// The sums over all ranks' parts, and this one's.
    fn sums_of_all(&self, ranks: &Ranks, x: &Tensor, dy: &Tensor) -> Result<RankSums> {
        let Typed(saved, _) = self;
        let shape = saved.shape();
        ranks.sums_of_all(shape.channels(), || {
            let device = device_of(x.device())?;
            let dy = dy.contiguous()?;
            let (x, dy) = (Borrowed::of(x), Borrowed::of(&dy));
            let (x, dy) = (x.slice()?, dy.slice()?);
            let sums = || {
                let count = shape.values_per_channel();
                let mut sums = PooledGradients::room(shape.channels(), count)?;
                saved.gradient_sums(&device, x, dy, sums.view_mut())?;
                Ok(sums)
            };
            sums().map_err(wrap)
        })
    }
}

impl<T: Value<Compute: Value>> Backward for Typed<T> {
    fn backward(&self, x: &Tensor, dy: &Tensor) -> Result<Gradients> {
        let Typed(saved, ranks) = self;
        let shape = saved.shape();
        let sums = match ranks {
            Some(ranks) => Some(self.sums_of_all(ranks, x, dy)?),
            None => None,
        };
        // Of this thread, which need not be the one that went forward.
        let candle_device = x.device();
        let device = device_of(candle_device)?;
        let dy = dy.contiguous()?;
        let (borrowed_x, dy) = (Borrowed::of(x), Borrowed::of(&dy));
        let (x_values, dy) = (borrowed_x.slice()?, dy.slice()?);
        let backward = |dx: DeviceSliceMut<'_, T>, dresidual: Option<DeviceSliceMut<'_, T>>| {
            let dy_to_dx = InOut::Separate(dy, dx);
            let backward = || {
                let Some(RankSums { local, whole }) = &sums else {
                    return saved.backward(&device, x_values, dy_to_dx, dresidual);
                };
                let affine = saved.affine_gradients(&device, local)?;
                saved.backward_input(&device, x_values, dy_to_dx, dresidual, whole.view())?;
                Ok(affine)
            };
            backward().map_err(wrap)
        };
        let len = shape.len();
        let with_residual = |dx: DeviceSliceMut<'_, T>| {
            let both = |dresidual: DeviceSliceMut<'_, T>| backward(dx, Some(dresidual));
            // SAFETY: as the next.
            let (dresidual, affine) = unsafe { written_by(&device, candle_device, len, both) }?;
            Ok((Some(dresidual), affine))
        };
        let without_residual = |dx: DeviceSliceMut<'_, T>| Ok((None, backward(dx, None)?));
        // SAFETY: a backward pass reads no dx, writes all of it, and so the residual's gradient if it is asked for: tests/bits
        // holds both against NaN.
        let made = unsafe {
            if saved.has_residual() {
                written_by(&device, candle_device, len, with_residual)
            } else {
                written_by(&device, candle_device, len, without_residual)
            }
        };
        let (input, (residual, affine)) = made?;
        let dims = memory_dims(x, shape.layout());
        let like_x = |storage| Computed {
            storage,
            dims: dims.clone(),
        };
        let vector = |buffer| Computed::of(buffer, vec![shape.channels()], candle_device);
        Ok(Gradients {
            input: like_x(input),
            layout: shape.layout(),
            residual: residual.map(like_x),
            gamma: vector(affine.gamma.into_buffer())?,
            beta: vector(affine.beta.into_buffer())?,
        })
    }
    fn double_backward(
        &self,
        x: &Tensor,
        dy: &Tensor,
        of: GradientOf,
        gradient: &Tensor,
    ) -> Result<SecondGradients> {
        let Typed(saved, ranks) = self;
        if ranks.is_some() {
            return Err(wrap(Error::Value {
                what: "a layer whose second derivatives are asked for",
                found: "one that is synchronized over ranks".to_owned(),
                needed: "one that has the whole batch",
            }));
        }
        second_gradients(saved, x, dy, of, gradient)
    }
}
