//! Inference without the layer: folded into candle's layer before it.

use candle_core::{DType, Result, Tensor};
use candle_nn::{Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Linear};

use crate::candle::error::wrap;
use crate::candle::layer::BatchNorm;
use crate::candle::running::{check_for_normalizing, is_finite};
use crate::error::Error;
use crate::numeric::finite_factor;

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
    /// For a running mean that is not finite, a running variance that is not or is below zero, and where scale or shift are not finite,
    /// as those of a constant channel without ε.
    pub fn scale_and_shift(&self) -> Result<(Tensor, Tensor)> {
        let constants = Constants::of(self)?;
        let shift = constants.shift(None)?;
        let device = self.running_mean().device();
        let channels = shift.len();
        Ok((
            Tensor::from_vec(constants.scale, channels, device)?,
            Tensor::from_vec(shift, channels, device)?,
        ))
    }

    /// Folds this layer into the linear layer before it.
    ///
    /// # Errors
    /// As [`scale_and_shift`](Self::scale_and_shift), for a layer that gives another number of channels, and where a folded value is
    /// beyond the range of the weight's type.
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
    let constants = Constants::of(layer)?;
    let (channels, dims) = (constants.scale.len(), weight.dims());
    let fits = |&of_group: &usize| {
        of_group.checked_mul(groups) == Some(channels) && dims[0].is_multiple_of(groups)
    };
    if !dims.get(outputs).is_some_and(fits) {
        return Err(wrap(Error::WeightDimensions {
            found: dims.to_vec(),
            needed: format!(
                "the batch norm's {channels} channels in dimension {outputs}, of {groups} groups together, which divide dimension 0"
            ),
        }));
    }
    let dtype = weight.dtype();
    let bias = bias.map(of_f64).transpose()?;
    let shift = constants.shift(bias.as_deref())?;
    let shift = Tensor::from_vec(shift, channels, weight.device())?;
    let scale = Tensor::from_vec(constants.scale, channels, weight.device())?;
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
    let (scaled, shift) = (scaled.to_dtype(dtype)?, shift.to_dtype(dtype)?);
    check_finite("a folded weight", &scaled)?;
    check_finite("a folded bias", &shift)?;
    Ok((scaled, shift))
}

/// What inference computes with, each (C,).
struct Constants {
    scale: Vec<f64>,
    mean: Vec<f64>,
    bias: Vec<f64>,
}

impl Constants {
    fn of(layer: &BatchNorm) -> Result<Self> {
        let (mean, variance) = (layer.running_mean(), layer.running_var());
        check_for_normalizing(mean, variance)?;
        let (mean, variance) = (of_f64(mean)?, of_f64(variance)?);
        let (weight, bias) = match layer.weight_and_bias() {
            Some((weight, bias)) => (of_f64(weight)?, of_f64(bias)?),
            None => (vec![1.0; mean.len()], vec![0.0; mean.len()]),
        };
        let epsilon = layer.eps();
        let scale = weight.iter().zip(&variance);
        // As in inference: what is as large as can be instead of infinite is still nothing of what is zero.
        let scale = scale.map(|(weight, variance)| {
            let inv_std: f64 = finite_factor(1.0 / (variance + epsilon).sqrt(), &[*variance]);
            finite_factor(weight * inv_std, &[*weight, inv_std])
        });
        Ok(Self {
            scale: scale.collect(),
            mean,
            bias,
        })
    }

    /// What becomes of a bias of the layer before, which is zero where it has none.
    fn shift(&self, before: Option<&[f64]>) -> Result<Vec<f64>> {
        let shift = |c: usize| {
            let before = before.map_or(0.0, |bias| bias[c]);
            (before - self.mean[c]) * self.scale[c] + self.bias[c]
        };
        let shift: Vec<f64> = (0..self.scale.len()).map(shift).collect();
        match shift.iter().position(|shift| !shift.is_finite()) {
            None => Ok(shift),
            Some(channel) => Err(wrap(Error::Value {
                what: "bias − running_mean · weight / sqrt(running_var + ε)",
                found: format!("{:?} in channel {channel}", shift[channel]),
                needed: "finite for the layer to be folded",
            })),
        }
    }
}

fn of_f64(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.to_dtype(DType::F64)?.to_vec1()
}

fn check_finite(what: &'static str, tensor: &Tensor) -> Result<()> {
    let finite = is_finite(tensor)?.to_dtype(DType::F64)?;
    if finite.sum_all()?.to_scalar::<f64>()? == tensor.elem_count() as f64 {
        return Ok(());
    }
    Err(wrap(Error::Value {
        what,
        found: format!("a value beyond the range of {:?}", tensor.dtype()),
        needed: "finite",
    }))
}
