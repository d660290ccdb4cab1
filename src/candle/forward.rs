//! The forward pass of the layer: the operands brought into order, and the result put into candle's graph.

use candle_core::{DType, Error, Result, Tensor, Var};
use candle_nn::ModuleT;
use half::{bf16, f16};

use crate::candle::layer::BatchNorm;
use crate::candle::memory::{shape_of, to_logical_order, to_memory_order};
use crate::candle::node::attach;
use crate::candle::operation::{Operands, Statistics, forward};
use crate::shape::Shape;

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
        self.forward(x, Some(residual), train)
    }

    fn forward(&self, x: &Tensor, residual: Option<&Tensor>, train: bool) -> Result<Tensor> {
        if x.rank() > Shape::MAX_RANK {
            return self.forward_folded(x, residual, train);
        }
        let channels = self.running_mean.elem_count();
        let settings = self.config.settings(channels)?;
        self.check_device(x, residual)?;
        let (x, shape) = one_run(x)?;
        let residual = match residual {
            Some(residual) => Some(like(&x, residual, &shape)?),
            None => None,
        };
        let (weight, bias) = match &self.weight_and_bias {
            Some((weight, bias)) => (weight.contiguous()?, bias.contiguous()?),
            None => (
                self.running_mean.ones_like()?,
                self.running_mean.zeros_like()?,
            ),
        };
        check_parameters(&x, [&weight, &bias, &self.running_mean, &self.running_var])?;
        let operands = Operands {
            x: &x,
            residual: residual.as_ref(),
            gamma: &weight,
            beta: &bias,
            running_mean: &self.running_mean,
            running_variance: &self.running_var,
        };
        let statistics = if train && !self.frozen {
            Statistics::Batch
        } else {
            Statistics::Running
        };
        let output = match x.dtype() {
            DType::F16 => forward::<f16>(&settings, shape, &operands, statistics),
            DType::BF16 => forward::<bf16>(&settings, shape, &operands, statistics),
            DType::F32 => forward::<f32>(&settings, shape, &operands, statistics),
            DType::F64 => forward::<f64>(&settings, shape, &operands, statistics),
            other => candle_core::bail!("batch norm is of f16, bf16, f32 or f64, got {other:?}"),
        }?;
        let affine = (&weight, &bias);
        let y = attach(
            output.y,
            shape.dims(),
            output.backward,
            &x,
            residual.as_ref(),
            affine,
        )?;
        if let Some((mean, variance)) = &output.running {
            Var::from_tensor(&self.running_mean)?.set(mean)?;
            Var::from_tensor(&self.running_var)?.set(variance)?;
        }
        to_logical_order(&y, shape.layout())
    }
}

impl BatchNorm {
    /// Of more dimensions than a [`Shape`] keeps: with its spatial ones folded to one.
    fn forward_folded(&self, x: &Tensor, residual: Option<&Tensor>, train: bool) -> Result<Tensor> {
        let residual = match residual {
            Some(residual) => {
                check_dims(x, residual)?;
                Some(residual.flatten_from(2)?)
            }
            None => None,
        };
        let y = self.forward(&x.flatten_from(2)?, residual.as_ref(), train)?;
        y.reshape(x.dims())
    }

    /// candle's own operations refuse operands of two devices, even of two on the same GPU, whose streams differ.
    fn check_device(&self, x: &Tensor, residual: Option<&Tensor>) -> Result<()> {
        let affine = self.weight_and_bias.iter().flat_map(|(w, b)| [w, b]);
        let running = [&self.running_mean, &self.running_var];
        let (needed, layer) = (x.device(), "the layer's variables");
        let others = affine.chain(running).map(|variable| (layer, variable));
        for (name, other) in others.chain(residual.map(|residual| ("the residual", residual))) {
            if !other.device().same_device(needed) {
                let (found, needed) = (other.device(), needed);
                candle_core::bail!("{name} must be on the device of x, {needed:?}, found {found:?}")
            }
        }
        Ok(())
    }
}

impl ModuleT for BatchNorm {
    /// With `train` normalizes with the batch's statistics, which the running ones follow; otherwise, and in a
    /// [frozen](BatchNorm::freeze) layer, with the running ones. Gradients go through either.
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward(x, None, train)
    }
}

/// The tensor, copied if its values are not one run of memory, and its shape.
fn one_run(x: &Tensor) -> Result<(Tensor, Shape)> {
    let x = match shape_of(x) {
        Err(crate::error::Error::Strides { .. }) => x.contiguous()?,
        _ => x.clone(),
    };
    let shape = shape_of(&x).map_err(Error::wrap)?;
    Ok((x, shape))
}

fn check_dims(x: &Tensor, residual: &Tensor) -> Result<()> {
    if residual.dims() == x.dims() {
        return Ok(());
    }
    let (found, needed) = (residual.dims(), x.dims());
    candle_core::bail!("the residual has shape {found:?}, x has {needed:?}")
}

/// The residual in x's memory order.
fn like(x: &Tensor, residual: &Tensor, shape: &Shape) -> Result<Tensor> {
    check_dims(x, residual)?;
    if residual.dtype() != x.dtype() {
        let (found, needed) = (residual.dtype(), x.dtype());
        candle_core::bail!("the residual is of {found:?}, x of {needed:?}")
    }
    to_memory_order(residual, shape.layout())?.contiguous()
}

/// Parameters and running statistics are of what is computed in.
fn check_parameters(x: &Tensor, parameters: [&Tensor; 4]) -> Result<()> {
    let needed = match x.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    for parameter in parameters {
        if parameter.dtype() != needed {
            let (x, found) = (x.dtype(), parameter.dtype());
            candle_core::bail!("batch norm of {x:?} needs parameters of {needed:?}, got {found:?}")
        }
    }
    Ok(())
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
        let strided = x.narrow(2, 0, 2).unwrap();
        assert_ne!(address(&one_run(&strided).unwrap().0), address(&strided));
    }
}
