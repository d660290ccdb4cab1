//! The forward pass of the layer: the operands brought into order, and the result put into candle's graph.

use candle_core::{DType, Result, Tensor, Var};
use candle_nn::ModuleT;

use crate::backend::kept::Kept;
use crate::candle::config::settings_of;
use crate::candle::error::wrap;
use crate::candle::layer::BatchNorm;
use crate::candle::memory::{shape_of, to_logical_order, to_memory_order};
use crate::candle::node::attach;
use crate::candle::operation::{Operands, Output, WhoseStatistics, forward};
use crate::candle::ranks::part_statistics;
use crate::candle::running::{Use, check_running};
use crate::candle::value::{Value, compute_type, not_a_type, wrong_type};
use crate::config::BatchNormConfig as Settings;
use crate::element::match_dtype;
use crate::error::Error;
use crate::shape::Shape;
use crate::statistics::pooled::PooledStatistics;

impl BatchNorm {
    /// Normalizes with the batch's statistics, which the running ones follow; in a frozen layer with the running ones.
    ///
    /// # Errors
    /// Those of [`crate::BatchNorm::forward_training`], for data types or devices that do not go together, on a GPU those
    /// of [`crate::Device::cuda`], and without the feature `candle-cuda` on any GPU. Then nothing has changed.
    pub fn forward_train(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_t(x, true)
    }

    /// [`ModuleT::forward_t`] with a residual of x's shape and data type added before the activation.
    ///
    /// # Errors
    /// As [`forward_train`](Self::forward_train), and for a residual of another shape.
    pub fn forward_t_add(&self, x: &Tensor, residual: &Tensor, train: bool) -> Result<Tensor> {
        normalize(self, x, Some(residual), None, train)
    }

    /// [`ModuleT::forward_t`] of a batch of which not all is [`Kept`], with a residual added before the activation, if there is one: y, and
    /// on the way back dx and the residual's gradient, are zero at the other places, whatever stands there. Positions are the spatial ones,
    /// in the order of x's dimensions.
    ///
    /// ```
    /// use batchnorm::candle::{BatchNormConfig, batch_norm};
    /// use batchnorm::{Kept, Shape};
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_nn::{VarBuilder, VarMap};
    ///
    /// let variables = VarMap::new();
    /// let vb = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
    /// let layer = batch_norm(1, BatchNormConfig::default(), vb)?;
    /// let x = Tensor::new(&[[[1f32, 2.0, 3.0]], [[6.0, f32::NAN, f32::NAN]]], &Device::Cpu)?; // N, C, L
    /// let kept = Kept::lengths(&Shape::channels_first(x.dims())?, &[3, 1])?;
    /// let y = layer.forward_t_kept(&x, None, &kept, true)?;
    /// assert_eq!(y.to_vec3::<f32>()?[1][0][1..], [0.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`forward_t_add`](Self::forward_t_add), for what is kept of another shape, on a GPU, and in a training pass over ranks.
    pub fn forward_t_kept(
        &self,
        x: &Tensor,
        residual: Option<&Tensor>,
        kept: &Kept,
        train: bool,
    ) -> Result<Tensor> {
        normalize(self, x, residual, Some(kept), train)
    }
}

/// The pass itself. No function of the type's own: a private name would hide a trait's.
fn normalize(
    layer: &BatchNorm,
    x: &Tensor,
    residual: Option<&Tensor>,
    kept: Option<&Kept>,
    train: bool,
) -> Result<Tensor> {
    let (prepared, statistics) = match &layer.ranks {
        Some(ranks) if train && !layer.frozen => {
            let channels = layer.running_mean().elem_count();
            let (prepared, whole) = ranks.statistics_of_all(channels, || {
                if let Some(kept) = kept {
                    return Err(wrap(Error::Value {
                        what: "the batch of a layer that is synchronized over ranks",
                        found: format!("one of which not all is kept, {kept:?}"),
                        needed: "one of which all is",
                    }));
                }
                let prepared = prepare(layer, x, residual, Use::Follow)?;
                let Prepared {
                    settings,
                    passes,
                    x,
                    shape,
                    ..
                } = &prepared;
                let part = (passes.part_statistics)(settings, shape, x)?;
                Ok((prepared, part))
            })?;
            (prepared, WhoseStatistics::Ranks(whole, ranks.clone()))
        }
        _ if train && !layer.frozen => {
            let prepared = prepare(layer, x, residual, Use::Follow)?;
            (prepared, WhoseStatistics::Batch)
        }
        _ => {
            let prepared = prepare(layer, x, residual, Use::Normalize)?;
            (prepared, WhoseStatistics::Running)
        }
    };
    run(layer, &prepared, kept, statistics)
}

/// Brings the operands into order, or says why they cannot be.
fn prepare(
    layer: &BatchNorm,
    x: &Tensor,
    residual: Option<&Tensor>,
    running: Use,
) -> Result<Prepared> {
    let channels = layer.running_mean().elem_count();
    let settings = settings_of(&layer.config, channels)?;
    check_device(layer, x, residual)?;
    check_channels(x, channels).map_err(wrap)?;
    let (x, shape) = one_run(x)?;
    let residual = match residual {
        Some(residual) => Some(like(&x, residual, &shape)?),
        None => None,
    };
    let (running_mean, running_variance) = (layer.running_mean(), layer.running_var());
    check_input_type(x.dtype(), running_mean.dtype())?;
    check_running(running_mean, running_variance, running)?;
    let (gamma, beta) = match layer.weight_and_bias() {
        Some((weight, bias)) => (weight.contiguous()?, bias.contiguous()?),
        None => (running_mean.ones_like()?, running_mean.zeros_like()?),
    };
    Ok(Prepared {
        settings,
        passes: Passes::over(x.dtype())?,
        x,
        shape,
        residual,
        gamma,
        beta,
        running_mean: running_mean.clone(),
        running_variance: running_variance.clone(),
    })
}

fn run(
    layer: &BatchNorm,
    prepared: &Prepared,
    kept: Option<&Kept>,
    statistics: WhoseStatistics,
) -> Result<Tensor> {
    let Prepared {
        settings,
        x,
        residual,
        gamma,
        beta,
        ..
    } = prepared;
    let layout = prepared.shape.layout();
    let operands = Operands {
        x,
        kept,
        residual: residual.as_ref(),
        gamma,
        beta,
        running_mean: &prepared.running_mean,
        running_variance: &prepared.running_variance,
    };
    let forward = prepared.passes.forward;
    let output = forward(settings, prepared.shape, &operands, statistics)?;
    let affine = (gamma, beta);
    let y = attach(
        output.y,
        output.backward,
        (x, layout),
        residual.as_ref(),
        affine,
    )?;
    if let Some((mean, variance)) = &output.running {
        Var::from_tensor(layer.running_mean())?.set(mean)?;
        Var::from_tensor(layer.running_var())?.set(variance)?;
    }
    to_logical_order(&y, layout)
}

/// The operands of a pass, each one run of memory.
struct Prepared {
    settings: Settings,
    passes: Passes,
    x: Tensor,
    shape: Shape,
    residual: Option<Tensor>,
    gamma: Tensor,
    beta: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
}

/// What is done with values of a data type.
struct Passes {
    forward: fn(&Settings, Shape, &Operands<'_>, WhoseStatistics) -> Result<Output>,
    part_statistics: fn(&Settings, &Shape, &Tensor) -> Result<PooledStatistics>,
}

impl Passes {
    /// The only choice of a pass by data type.
    fn over(dtype: DType) -> Result<Self> {
        match_dtype!(
            dtype, DType as T => Ok(Self::of::<T>()),
            other => Err(not_a_type("input", other)),
        )
    }

    fn of<T: Value<Compute: Value>>() -> Self {
        Self {
            forward: forward::<T>,
            part_statistics: part_statistics::<T>,
        }
    }
}

/// candle's own operations refuse operands of two devices, even of two on the same GPU, whose streams differ.
fn check_device(layer: &BatchNorm, x: &Tensor, residual: Option<&Tensor>) -> Result<()> {
    let affine = layer.weight_and_bias().into_iter();
    let affine = affine.flat_map(|(weight, bias)| [weight, bias]);
    let running = [layer.running_mean(), layer.running_var()];
    let (needed, variables) = (x.device(), "the layer's variables");
    let others = affine.chain(running).map(|variable| (variables, variable));
    for (name, other) in others.chain(residual.map(|residual| ("the residual", residual))) {
        if !other.device().same_device(needed) {
            let (found, needed) = (other.device(), needed);
            return Err(wrap(Error::DeviceMismatch {
                found: format!("{found:?} ({name})"),
                needed: format!("{needed:?}, the device of x"),
            }));
        }
    }
    Ok(())
}

impl ModuleT for BatchNorm {
    /// With `train` normalizes with the batch's statistics, which the running ones follow; otherwise, and in a
    /// [frozen](BatchNorm::freeze) layer, with the running ones. Gradients go through either.
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        normalize(self, x, None, None, train)
    }
}

/// Before a shape is made of the dimensions, which cannot be of no channels.
fn check_channels(x: &Tensor, needed: usize) -> crate::error::Result<()> {
    match *x.dims() {
        [_, found, ..] if found != needed => Err(Error::Channels { found, needed }),
        _ => Ok(()),
    }
}

/// The tensor, copied if its values are not one run of memory, and its shape as the passes see it.
fn one_run(x: &Tensor) -> Result<(Tensor, Shape)> {
    let x = match shape_of(x) {
        Err(Error::Strides { .. }) => x.contiguous()?,
        _ => x.clone(),
    };
    let shape = shape_of(&x).map_err(wrap)?;
    Ok((x, shape))
}

/// The residual in x's memory order.
fn like(x: &Tensor, residual: &Tensor, shape: &Shape) -> Result<Tensor> {
    if residual.dims() != x.dims() {
        let (found, needed) = (residual.dims(), x.dims());
        return Err(wrap(Error::ShapeMismatch {
            what: "the residual",
            found: format!("{found:?}"),
            needed: format!("{needed:?}"),
        }));
    }
    if residual.dtype() != x.dtype() {
        let (found, needed) = (residual.dtype(), x.dtype());
        return Err(wrap(Error::ShapeMismatch {
            what: "the residual",
            found: format!("of dtype {found:?}"),
            needed: format!("of {needed:?}"),
        }));
    }
    to_memory_order(residual, shape.layout())?.contiguous()
}

/// Whether x is of a type whose pass can read the layer's variables, which all go with the same.
fn check_input_type(x: DType, running_mean: DType) -> Result<()> {
    let needed = compute_type("running_mean", running_mean)?;
    if compute_type("input", x)? == needed {
        return Ok(());
    }
    let needed = match needed {
        DType::F64 => {
            "F64, as the layer's variables are (Tensor::to_dtype, or a VarBuilder of the input's dtype)"
        }
        _ => {
            "F16, BF16 or F32, as the layer's variables are not of F64 (Tensor::to_dtype, or a VarBuilder of F64)"
        }
    };
    Err(wrong_type("input", x, needed))
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Storage, WithDType};

    use super::*;

    fn address(tensor: &Tensor) -> *const f32 {
        let (storage, layout) = tensor.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => {
                f32::cpu_storage_as_slice(storage).unwrap()[layout.start_offset()..].as_ptr()
            }
            _ => panic!("not on the CPU"),
        }
    }

    #[test]
    fn either_memory_order_is_read_in_place() {
        let x = Tensor::zeros((2, 3, 4, 5), DType::F32, &Device::Cpu).unwrap();
        let channels_last = x.permute((0, 3, 1, 2)).unwrap();
        for in_order in [&x, &channels_last, &channels_last.narrow(0, 1, 1).unwrap()] {
            let (run, shape) = one_run(in_order).unwrap();
            assert_eq!(address(&run), address(in_order));
            assert_eq!(shape.logical_dims(), in_order.dims());
        }
        let six = Tensor::zeros((2, 3, 4, 2, 5, 2), DType::F32, &Device::Cpu).unwrap();
        let last = six.permute((0, 5, 1, 2, 3, 4)).unwrap();
        for in_order in [&six, &last, &last.narrow(0, 1, 1).unwrap()] {
            let (run, shape) = one_run(in_order).unwrap();
            assert_eq!(address(&run), address(in_order));
            assert_eq!(shape.len(), in_order.elem_count());
            assert_eq!(shape.channels(), in_order.dims()[1]);
        }
        let strided = x.narrow(2, 0, 2).unwrap();
        assert_ne!(address(&one_run(&strided).unwrap().0), address(&strided));
    }
}
