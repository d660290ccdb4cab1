//! Inference without the layer: folded into candle's layer before it.

use candle_core::{DType, Result, Tensor};
use candle_nn::{Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Linear};

use crate::candle::construct::check_running_variance;
use crate::candle::layer::BatchNorm;

/// Folding, with the running statistics, of the layer before its activation: one that is fused into it is still to be applied to
/// the result. The arithmetic is `f64`, each result is rounded once, to the type of the weight that it takes the place of.
impl BatchNorm {
    /// Inference as `y = scale · x + shift`, each (C,) and of `f64`.
    ///
    /// ```text
    /// scale = weight / sqrt(running_var + ε)      shift = bias − running_mean · scale
    /// ```
    ///
    /// # Errors
    /// For a running variance that is below zero or NaN.
    pub fn scale_and_shift(&self) -> Result<(Tensor, Tensor)> {
        let variance = self.running_var();
        check_running_variance(variance)?;
        let deviation = (variance.to_dtype(DType::F64)? + self.eps())?.sqrt()?;
        let mean = self.running_mean().to_dtype(DType::F64)?;
        let scale = match self.weight_and_bias() {
            Some((weight, _)) => (weight.to_dtype(DType::F64)? / deviation)?,
            None => deviation.recip()?,
        };
        let to_zero = (mean * &scale)?.neg()?;
        let shift = match self.weight_and_bias() {
            Some((_, bias)) => (bias.to_dtype(DType::F64)? + to_zero)?,
            None => to_zero,
        };
        Ok((scale, shift))
    }

    /// Folds this layer into the linear layer before it.
    ///
    /// # Errors
    /// As [`scale_and_shift`](Self::scale_and_shift), and for a layer that gives another number of channels.
    pub fn fold_into_linear(&self, linear: &Linear) -> Result<Linear> {
        let (weight, bias) = folded(self, linear.weight(), linear.bias(), 0, 1)?;
        Ok(Linear::new(weight, Some(bias)))
    }

    /// Folds this layer into the convolution before it.
    ///
    /// # Errors
    /// As [`fold_into_linear`](Self::fold_into_linear).
    pub fn fold_into_conv1d(&self, conv: &Conv1d) -> Result<Conv1d> {
        let (weight, bias) = folded(self, conv.weight(), conv.bias(), 0, 1)?;
        Ok(Conv1d::new(weight, Some(bias), *conv.config()))
    }

    /// Folds this layer into the convolution before it. (candle's [`absorb_bn`](Conv2d::absorb_bn) takes this layer too, if it has
    /// a weight and a bias.)
    ///
    /// # Errors
    /// As [`fold_into_linear`](Self::fold_into_linear).
    pub fn fold_into_conv2d(&self, conv: &Conv2d) -> Result<Conv2d> {
        let (weight, bias) = folded(self, conv.weight(), conv.bias(), 0, 1)?;
        Ok(Conv2d::new(weight, Some(bias), *conv.config()))
    }

    /// Folds this layer into the transposed convolution before it.
    ///
    /// # Errors
    /// As [`fold_into_linear`](Self::fold_into_linear).
    pub fn fold_into_conv_transpose1d(&self, conv: &ConvTranspose1d) -> Result<ConvTranspose1d> {
        let groups = conv.config().groups;
        let (weight, bias) = folded(self, conv.weight(), conv.bias(), 1, groups)?;
        Ok(ConvTranspose1d::new(weight, Some(bias), *conv.config()))
    }

    /// Folds this layer into the transposed convolution before it.
    ///
    /// # Errors
    /// As [`fold_into_linear`](Self::fold_into_linear).
    pub fn fold_into_conv_transpose2d(&self, conv: &ConvTranspose2d) -> Result<ConvTranspose2d> {
        let (weight, bias) = folded(self, conv.weight(), conv.bias(), 1, 1)?;
        Ok(ConvTranspose2d::new(weight, Some(bias), *conv.config()))
    }
}

/// A weight whose axis `outputs` has the channels of one of the groups that its axis 0 is cut into, and a bias.
fn folded(
    layer: &BatchNorm,
    weight: &Tensor,
    bias: Option<&Tensor>,
    outputs: usize,
    groups: usize,
) -> Result<(Tensor, Tensor)> {
    let (scale, shift) = layer.scale_and_shift()?;
    let (channels, dims) = (scale.elem_count(), weight.dims());
    let found = dims.get(outputs).map_or(0, |&of_group| of_group * groups);
    if found != channels {
        candle_core::bail!(
            "batch norm of {channels} channels cannot be folded into a layer that gives {found} (weight {dims:?})"
        )
    }
    let dtype = weight.dtype();
    let shift = match bias {
        Some(bias) => (bias.to_dtype(DType::F64)? * &scale)?.add(&shift)?,
        None => shift,
    };
    // (groups, inputs of a group, outputs of a group, kernel...), where the inputs come first.
    let mut by_group = vec![groups];
    by_group.extend_from_slice(dims);
    by_group[1] /= groups;
    let mut of_outputs = vec![1; by_group.len()];
    of_outputs[0] = groups;
    of_outputs[outputs + 1] = channels / groups;
    let scaled = weight
        .to_dtype(DType::F64)?
        .reshape(by_group)?
        .broadcast_mul(&scale.reshape(of_outputs)?)?
        .reshape(dims)?;
    Ok((scaled.to_dtype(dtype)?, shift.to_dtype(dtype)?))
}
