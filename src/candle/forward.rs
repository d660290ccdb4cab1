//! The forward pass of the layer: the operands brought into order, and the result put into candle's graph.

use candle_core::{DType, Error, Result, Tensor, Var};
use candle_nn::ModuleT;
use half::{bf16, f16};

use super::BatchNorm;
use super::memory::{shape_of, to_logical_order, to_memory_order};
use super::node::attach;
use super::operation::{Operands, Statistics, forward};
use crate::Shape;

impl BatchNorm {
    /// Normalizes with the batch's statistics, which the running ones follow; in a frozen layer with the running ones.
    ///
    /// # Errors
    /// Those of [`crate::BatchNorm::forward_training`], for data types that do not go together, and on devices other
    /// than the CPU. Then nothing has changed.
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
        let channels = self.running_mean.elem_count();
        let settings = self.config.settings(channels)?;
        let (x, shape) = one_run(x)?;
        let residual = match residual {
            Some(residual) if residual.dims() != x.dims() => candle_core::bail!(
                "the residual has shape {:?}, x has {:?}",
                residual.dims(),
                x.dims()
            ),
            Some(residual) => Some(to_memory_order(residual, shape.layout())?.contiguous()?),
            None => None,
        };
        let (weight, bias) = match &self.weight_and_bias {
            Some((weight, bias)) => (weight.contiguous()?, bias.contiguous()?),
            None => (
                self.running_mean.ones_like()?,
                self.running_mean.zeros_like()?,
            ),
        };
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
        Err(crate::Error::Strides { .. }) => x.contiguous()?,
        _ => x.clone(),
    };
    let shape = shape_of(&x).map_err(Error::wrap)?;
    Ok((x, shape))
}
