//! How values become bytes.

use crate::allocate::collected;
use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;
use crate::shape::check_len;

/// How y becomes `i8`, for [`BatchNorm::forward_quantized`](crate::BatchNorm::forward_quantized):
///
/// ```text
/// q = clamp(round(y / scale) + zero_point, −128, 127)
/// ```
///
/// so that y is about `scale·(q − zero_point)`. Ties are rounded to even. y is not rounded to the type of x before, and is multiplied by
/// 1/scale, rounded to the type that is computed in. There is no error for a value: what is beyond the range, infinity as well, becomes
/// the nearest end of it, and NaN becomes `zero_point`, which stands for 0. Source: Jacob et al. 2018, "Quantization and Training of Neural
/// Networks", equation 1; the same as ONNX's `QuantizeLinear`.
///
/// ```
/// use batchnorm::Quantization;
/// let symmetric = Quantization::symmetric(0.05)?;
/// let after_relu = Quantization::affine(6.0 / 255.0, -128)?; // 0 to 6
/// let of_each_channel = Quantization::per_channel(&[0.05, 0.1], &[0, -3])?;
/// assert!(Quantization::symmetric(0.0).is_err());
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Quantization {
    /// One for all channels, or one for each.
    scales: Vec<f64>,
    /// As many.
    zero_points: Vec<i8>,
}

impl Quantization {
    /// With one scale for all channels, and 0 as 0.
    ///
    /// # Errors
    /// [`Error::Value`] for a scale that is not finite, not above zero, or so small or large that 1/scale is no normal `f32`.
    pub fn symmetric(scale: f64) -> Result<Self> {
        Self::affine(scale, 0)
    }

    /// With one scale for all channels, and 0 as `zero_point`.
    ///
    /// # Errors
    /// As [`symmetric`](Self::symmetric).
    pub fn affine(scale: f64, zero_point: i8) -> Result<Self> {
        Self::per_channel(&[scale], &[zero_point])
    }

    /// With a scale and a zero point for each channel.
    ///
    /// # Errors
    /// As [`symmetric`](Self::symmetric); [`Error::Length`] for scales and zero points of different numbers, [`Error::NoChannels`]
    /// for none.
    pub fn per_channel(scales: &[f64], zero_points: &[i8]) -> Result<Self> {
        check_len("the zero points", zero_points.len(), scales.len())?;
        if scales.is_empty() {
            return Err(Error::NoChannels);
        }
        let _mode = DefaultMode::enter();
        if let Some(channel) = scales.iter().position(|&scale| !has_reciprocal(scale)) {
            return Err(Error::Value {
                what: "the scale of a quantization",
                found: format!("{:e} in channel {channel}", scales[channel]),
                needed: "above zero, and by its reciprocal a normal f32",
            });
        }
        Ok(Self {
            scales: collected(scales.iter().copied())?,
            zero_points: collected(zero_points.iter().copied())?,
        })
    }

    /// The scale of each channel, or one for all.
    pub fn scales(&self) -> &[f64] {
        &self.scales
    }

    /// The zero point of each channel, or one for all.
    pub fn zero_points(&self) -> &[i8] {
        &self.zero_points
    }

    /// That it is of one channel for all, or of so many.
    pub(crate) fn check_channels(&self, channels: usize) -> Result<()> {
        match self.scales.len() {
            1 => Ok(()),
            found => check_len("the quantization of each channel", found, channels),
        }
    }

    /// 1/scale and the zero point of a channel.
    pub(crate) fn factor_and_addend(&self, channel: usize) -> [f64; 2] {
        let at = if self.scales.len() == 1 { 0 } else { channel };
        [1.0 / self.scales[at], f64::from(self.zero_points[at])]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "whether that leaves a normal number is what is asked"
)]
fn has_reciprocal(scale: f64) -> bool {
    scale > 0.0 && ((1.0 / scale) as f32).is_normal()
}
