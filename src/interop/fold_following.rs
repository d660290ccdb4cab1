//! Folding into the layer that comes after: what inference does to that layer's input, its weight can do.
//!
//! Inference is y = scale·x + shift per channel, so W·y + b = (W·scale)·x + (W·shift + b), with scale and shift of the channel that a
//! weight reads. An activation between the two would have to be done to y.

use std::ops::Range;

use crate::allocate::collected;
use crate::backend::Backend;
use crate::backend::activation::Activation;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;
use crate::interop::fold::{Constants, Folded, ScaleAndShift, check_dims, check_grouped};
use crate::layer::BatchNorm;
use crate::shape::check_len;

/// Folding into the layer after this one. The arithmetic is `f64`, each result is rounded once to its type.
impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// Folds this layer into the linear layer after it: `weight` is (outputs, C), PyTorch's order, `bias` (outputs,) or none. A
    /// weight of (C, outputs), as Keras and flax have it, is to be transposed first.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu};
    /// let mut layer = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(2).epsilon(1.0))?;
    /// layer.running_mut().unwrap().set(&[3.0, 0.0], &[3.0, 0.0], 1)?;
    /// let folded = layer.fold_into_following_linear(&[4.0f32, 1.0], &[1, 2], Some(&[10.0]))?;
    /// // 4·(x − 3)/2 + 1·x' + 10
    /// assert_eq!((folded.weight, folded.bias), (vec![2.0, 1.0], vec![4.0]));
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoRunningStatistics`]; [`Error::Value`] for a running variance that is below zero or NaN;
    /// [`Error::ActivationBetween`] where this layer has an activation; [`Error::WeightDimensions`] for dimensions other than these
    /// or of zero; [`Error::Length`] for a weight that does not have these dimensions, or a bias of another length; when the device
    /// fails.
    pub fn fold_into_following_linear<T: Element>(
        &self,
        weight: &[T],
        dims: &[usize],
        bias: Option<&[T]>,
    ) -> Result<Folded<T>> {
        let channels = self.config().channels();
        let needed = || format!("(outputs, {channels}), with at least 1 output");
        let fits = dims.len() == 2 && dims[1] == channels;
        check_dims(weight, dims, fits, needed)?;
        self.fold_following(weight, bias, dims[0], |_, at| at)
    }

    /// Folds this layer into the convolution after it, of any groups, stride and dilation: `weight` is (outputs, C / groups,
    /// kernel...) with 1 to 3 kernel dimensions, `bias` (outputs,) or none.
    ///
    /// The convolution must not pad, or pad with values of its input (reflected, repeated, circular). Where it pads with zeros, those
    /// are zeros of y, and the folded convolution would have zeros of x there, which are another y unless shift is zero: pad x with
    /// `−shift / scale` instead ([`ScaleAndShift::padding`]), or keep [`scale_and_shift`](Self::scale_and_shift) a step of its own.
    ///
    /// # Errors
    /// As [`fold_into_following_linear`](Self::fold_into_following_linear); [`Error::WeightDimensions`] also for groups that do not
    /// divide C or the outputs; [`Error::ShapeOverflow`].
    pub fn fold_into_following_convolution<T: Element>(
        &self,
        weight: &[T],
        dims: &[usize],
        groups: usize,
        bias: Option<&[T]>,
    ) -> Result<Folded<T>> {
        check_grouped(weight, dims, "outputs", self.config().channels(), groups)?;
        let (outputs_of_group, inputs_of_group) = (dims[0] / groups, dims[1]);
        let kernel: usize = dims[2..].iter().product();
        self.fold_following(weight, bias, dims[0], |output, at| {
            output / outputs_of_group * inputs_of_group + at / kernel
        })
    }

    /// `channel_of` an output and a place among its weights is the channel that this weight reads.
    fn fold_following<T: Element>(
        &self,
        weight: &[T],
        bias: Option<&[T]>,
        outputs: usize,
        channel_of: impl Fn(usize, usize) -> usize,
    ) -> Result<Folded<T>> {
        if let Some(bias) = bias {
            check_len("the bias", bias.len(), outputs)?;
        }
        let activation = self.config().activation_kind();
        if activation != Activation::None {
            return Err(Error::ActivationBetween {
                found: activation.to_string(),
            });
        }
        let _mode = DefaultMode::enter();
        let constants = Constants::of(self)?;
        let of_output = weight.len() / outputs;
        let scaled = |(index, value): (usize, &T)| {
            let channel = channel_of(index / of_output, index % of_output);
            T::from_f64(value.to_f64() * constants.scale(channel))
        };
        let shifted = |output: usize| {
            let places: Range<usize> = output * of_output..(output + 1) * of_output;
            let shifts = weight[places].iter().enumerate();
            let shift: f64 = shifts
                .map(|(at, value)| value.to_f64() * constants.apply(channel_of(output, at), 0.0))
                .sum();
            T::from_f64(bias.map_or(0.0, |bias| bias[output].to_f64()) + shift)
        };
        Ok(Folded {
            weight: collected(weight.iter().enumerate().map(scaled))?,
            bias: collected((0..outputs).map(shifted))?,
        })
    }
}

/// Padding where a layer was folded into the convolution after it.
impl<C: Compute> ScaleAndShift<C> {
    /// The x of each channel whose y is zero, `−shift / scale`: what the convolution after the layer must pad x with, once the layer is
    /// [folded into it](BatchNorm::fold_into_following_convolution), where it padded y with zeros. As this is rounded to its type, a
    /// border differs by rounding.
    ///
    /// ```
    /// use batchnorm::ScaleAndShift;
    /// let layer = ScaleAndShift { scale: vec![2.0f32, -1.0], shift: vec![3.0, 4.0] };
    /// assert_eq!(layer.padding()?, [-1.5, 4.0]);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Length`] for a scale and a shift of different lengths; [`Error::Value`] for a channel that no finite x makes zero: of
    /// scale 0 (γ = 0) with another shift, or of one that is not finite.
    pub fn padding(&self) -> Result<Vec<C>> {
        check_len("the shift", self.shift.len(), self.scale.len())?;
        let _mode = DefaultMode::enter();
        let padding_of = |(&scale, &shift): (&C, &C)| match shift.to_f64() {
            0.0 if scale.to_f64().is_finite() => C::from_f64(0.0),
            shift => C::from_f64(-shift / scale.to_f64()),
        };
        let padding = collected(self.scale.iter().zip(&self.shift).map(padding_of))?;
        match padding.iter().position(|x| !x.to_f64().is_finite()) {
            None => Ok(padding),
            Some(channel) => Err(Error::Value {
                what: "the scale of a layer before a convolution that pads with zeros",
                found: format!(
                    "{:?} with shift {:?} in channel {channel}",
                    self.scale[channel], self.shift[channel]
                ),
                needed: "one by which some finite x becomes zero",
            }),
        }
    }
}
