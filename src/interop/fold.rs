//! Inference without the layer: folded to a scale and a shift, or into the layer before it (`fold_following.rs`: after it;
//! `fold_batch.rs`: with a batch's statistics).
//!
//! With constant statistics a batch normalization is y = scale·x + shift per channel, and the linear layer or
//! convolution that computes x can do that itself: W·scale and (b − mean)·scale + β in place of W and b. Source:
//! Jacob et al. 2018, "Quantization and Training of Neural Networks", section 3.2.

use crate::allocate::{collected, filled};
use crate::backend::Backend;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;
use crate::interop::parameters::Parameters;
use crate::layer::BatchNorm;
use crate::numeric::finite_factor;
use crate::shape::check_len;
use crate::statistics::running::check_variances;

/// Inference as `y = scale · x + shift`, arrays (C,).
#[derive(Debug, Clone, PartialEq)]
pub struct ScaleAndShift<C> {
    /// `γ / sqrt(running variance + ε)`.
    pub scale: Vec<C>,
    /// `β − running mean · scale`.
    pub shift: Vec<C>,
}

/// The parameters of a layer that also does what the batch normalization beside it did.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded<T> {
    /// Of the same dimensions as before.
    pub weight: Vec<T>,
    /// (outputs,), also where there was none before.
    pub bias: Vec<T>,
}

/// Folding. The results are what [`forward_inference`](Self::forward_inference) computes up to rounding, before its
/// activation: where one is fused into this layer, the caller applies it to the result. The arithmetic is `f64`, each
/// result is rounded once to its type, and values beyond the range of that type become infinite.
impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// Inference as a scale and a shift per channel.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu};
    /// let mut layer = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(1).epsilon(1.0))?;
    /// layer.gamma_mut().unwrap().set(&[4.0])?;
    /// layer.running_mut().unwrap().set(&[3.0], &[3.0], 1)?;
    /// let folded = layer.scale_and_shift()?; // 4 / sqrt(3 + 1), 0 − 3 · 2
    /// assert_eq!((folded.scale, folded.shift), (vec![2.0], vec![-6.0]));
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoRunningStatistics`]; [`Error::Value`] for a running variance that is below zero or NaN; when the device fails.
    pub fn scale_and_shift(&self) -> Result<ScaleAndShift<C>> {
        let _mode = DefaultMode::enter();
        let constants = Constants::of(self)?;
        let shift = (0..constants.scale.len()).map(|c| C::from_f64(constants.apply(c, 0.0)));
        let scale = constants.scale.iter().map(|&s| C::from_f64(s));
        Ok(ScaleAndShift {
            shift: collected(shift)?,
            scale: collected(scale)?,
        })
    }

    /// Folds this layer into the linear layer before it: `weight` is (C, inputs), PyTorch's order, `bias` (C,) or none. A
    /// weight of (inputs, C), as Keras and flax have it, is to be transposed first.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu};
    /// let mut layer = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(1).epsilon(1.0))?;
    /// layer.gamma_mut().unwrap().set(&[4.0])?;
    /// layer.running_mut().unwrap().set(&[3.0], &[3.0], 1)?;
    /// let folded = layer.fold_into_linear(&[1.0f32, 0.5], &[1, 2], Some(&[10.0]))?;
    /// assert_eq!((folded.weight, folded.bias), (vec![2.0, 1.0], vec![14.0]));
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoRunningStatistics`]; [`Error::Value`] for a running variance that is below zero or NaN; [`Error::WeightDimensions`]
    /// for dimensions other than these or of zero; [`Error::Length`] for a weight that does not have these dimensions, or
    /// a bias of another length; when the device fails.
    pub fn fold_into_linear<T: Element>(
        &self,
        weight: &[T],
        dims: &[usize],
        bias: Option<&[T]>,
    ) -> Result<Folded<T>> {
        let channels = self.config().channels();
        let needed = || format!("({channels}, inputs), with at least 1 input");
        let fits = dims.len() == 2 && dims[0] == channels;
        check_dims(weight, dims, fits, needed)?;
        let inputs = dims[1];
        self.fold(weight, bias, |index| index / inputs)
    }

    /// Folds this layer into the convolution before it, of any groups, stride, padding (with zeros) and dilation:
    /// `weight` is (C, inputs / groups, kernel...) with 1 to 3 kernel dimensions, `bias` (C,) or none.
    ///
    /// # Errors
    /// [`Error::NoRunningStatistics`]; [`Error::Value`] for a running variance that is below zero or NaN; [`Error::WeightDimensions`] for dimensions other than these or of zero;
    /// [`Error::ShapeOverflow`]; [`Error::Length`] for a weight that does not have these dimensions, or a bias of
    /// another length; when the device fails.
    pub fn fold_into_convolution<T: Element>(
        &self,
        weight: &[T],
        dims: &[usize],
        bias: Option<&[T]>,
    ) -> Result<Folded<T>> {
        let channels = self.config().channels();
        let needed = || format!("({channels}, inputs / groups, 1 to 3 of the kernel), none zero");
        let fits = dims.first() == Some(&channels) && has_kernel(dims);
        check_dims(weight, dims, fits, needed)?;
        let per_channel = weight.len() / channels;
        self.fold(weight, bias, |index| index / per_channel)
    }

    /// Folds this layer into the transposed convolution before it, of any stride, padding and dilation: `weight` is
    /// (inputs, C / groups, kernel...) with 1 to 3 kernel dimensions, `bias` (C,) or none.
    ///
    /// # Errors
    /// As [`fold_into_convolution`](Self::fold_into_convolution); [`Error::WeightDimensions`] also for groups that do
    /// not divide the inputs or C.
    pub fn fold_into_transposed_convolution<T: Element>(
        &self,
        weight: &[T],
        dims: &[usize],
        groups: usize,
        bias: Option<&[T]>,
    ) -> Result<Folded<T>> {
        check_grouped(weight, dims, "inputs", self.config().channels(), groups)?;
        let inputs_of_group = dims[0] / groups;
        let outputs_of_group = dims[1];
        let kernel: usize = dims[2..].iter().product();
        self.fold(weight, bias, |index| {
            let (input, output) = (
                index / kernel / outputs_of_group,
                index / kernel % outputs_of_group,
            );
            input / inputs_of_group * outputs_of_group + output
        })
    }

    fn fold<T: Element>(
        &self,
        weight: &[T],
        bias: Option<&[T]>,
        channel_of: impl Fn(usize) -> usize,
    ) -> Result<Folded<T>> {
        let channels = self.config().channels();
        if let Some(bias) = bias {
            check_len("the bias", bias.len(), channels)?;
        }
        let _mode = DefaultMode::enter();
        let constants = Constants::of(self)?;
        let scaled = |(index, value): (usize, &T)| {
            T::from_f64(value.to_f64() * constants.scale[channel_of(index)])
        };
        let shifted =
            |c| T::from_f64(constants.apply(c, bias.map_or(0.0, |bias| bias[c].to_f64())));
        Ok(Folded {
            weight: collected(weight.iter().enumerate().map(scaled))?,
            bias: collected((0..channels).map(shifted))?,
        })
    }
}

/// Whether there are 1 to 3 dimensions of a kernel, after those of outputs and inputs.
fn has_kernel(dims: &[usize]) -> bool {
    (3..=5).contains(&dims.len())
}

/// The weight of a convolution must be (`others`, C / groups, kernel...), with groups that divide both.
pub(super) fn check_grouped<T>(
    weight: &[T],
    dims: &[usize],
    others: &str,
    channels: usize,
    groups: usize,
) -> Result<()> {
    let needed = || {
        format!(
            "({others}, {channels} / groups, 1 to 3 of the kernel), none zero, with groups = {groups} dividing both"
        )
    };
    let fits = has_kernel(dims)
        && groups > 0
        && channels.is_multiple_of(groups)
        && dims[0].is_multiple_of(groups)
        && dims[1] == channels / groups;
    check_dims(weight, dims, fits, needed)
}

/// The weight must have dimensions that fit the layer, none zero, and as many values.
pub(super) fn check_dims<T>(
    weight: &[T],
    dims: &[usize],
    fits: bool,
    needed: impl Fn() -> String,
) -> Result<()> {
    if !fits || dims.contains(&0) {
        return Err(Error::WeightDimensions {
            found: dims.to_vec(),
            needed: needed(),
        });
    }
    let product = dims
        .iter()
        .try_fold(1usize, |all, &dim| all.checked_mul(dim));
    match product {
        Some(product) => check_len("the weight", weight.len(), product),
        None => Err(Error::ShapeOverflow {
            dims: dims.to_vec(),
        }),
    }
}

/// What inference computes with, each (C,).
pub(super) struct Constants {
    /// 1 / sqrt(running variance + ε).
    inv_std: Vec<f64>,
    scale: Vec<f64>,
    mean: Vec<f64>,
    beta: Vec<f64>,
}

impl Constants {
    pub(super) fn of<B: Backend, C: Compute>(layer: &BatchNorm<B, C>) -> Result<Self> {
        let Parameters {
            gamma,
            beta,
            running: Some(running),
        } = layer.parameter_values()?
        else {
            return Err(Error::NoRunningStatistics {
                operation: "folding",
            });
        };
        // A batch with an infinity or a NaN leaves such variances, which must not spread into weights.
        check_variances(&running.variance)?;
        let epsilon = layer.config().epsilon_value();
        let channels = running.mean.len();
        let widened = |values: Option<Vec<C>>, otherwise| match values {
            Some(values) => collected(values.iter().map(|value| value.to_f64())),
            None => filled(channels, otherwise),
        };
        let mut scale = widened(gamma, 1.0)?;
        // As in inference: what is as large as can be instead of infinite is still nothing of what is zero.
        let mut inv_std = widened(Some(running.variance), 0.0)?;
        for (scale, inv_std) in scale.iter_mut().zip(&mut inv_std) {
            let variance = *inv_std;
            *inv_std = finite_factor::<f64>(1.0 / (variance + epsilon).sqrt(), &[variance]);
            *scale = finite_factor::<f64>(*scale * *inv_std, &[*scale, *inv_std]);
        }
        Ok(Self {
            inv_std,
            scale,
            beta: widened(beta, 0.0)?,
            mean: widened(Some(running.mean), 0.0)?,
        })
    }

    /// 1 / sqrt(variance + ε) of channel `c`.
    pub(super) fn inv_std(&self, c: usize) -> f64 {
        self.inv_std[c]
    }

    /// β of channel `c`.
    pub(super) fn beta(&self, c: usize) -> f64 {
        self.beta[c]
    }

    /// γ / sqrt(variance + ε) of channel `c`.
    pub(super) fn scale(&self, c: usize) -> f64 {
        self.scale[c]
    }

    /// The normalized value of `x` in channel `c`.
    pub(super) fn apply(&self, c: usize, x: f64) -> f64 {
        (x - self.mean[c]) * self.scale[c] + self.beta[c]
    }
}
