//! Channels of which γ·inv_std is beyond the type, though γ·x̂ need not be: values so near each other, and γ so large, are rare
//! enough for a copy of x.
//!
//! In the copy a channel has (x − mean)·2ᵏ, about as large as x̂, and what is left of inv_std is from a half to one: then γ times
//! that is in range. dx comes out 2ᵏ times too small, and is multiplied in the end.

use crate::allocate::collected;
use crate::backend::operands::{InOut, Normalization};
use crate::cpu::kernels::KernelElement;
use crate::cpu::tiling::view::MatrixView;
use crate::error::Result;
use crate::numeric::{Numeric, Real};

/// x, and what it is normalized with, on other scales.
#[derive(Debug)]
pub(crate) struct TwoFactors<T: KernelElement> {
    view: MatrixView,
    x: Vec<T>,
    mean: Vec<T::Scalar>,
    mean_low: Vec<T::Scalar>,
    inv_std: Vec<T::Scalar>,
    /// 2ᵏ of each channel; 1 where γ·inv_std is in range.
    scales: Vec<f64>,
}

impl<T: KernelElement> TwoFactors<T> {
    /// None where one factor will do in every channel.
    pub(crate) fn of(
        view: &MatrixView,
        x: &[T],
        with: &Normalization<&[T::Scalar]>,
    ) -> Result<Option<Self>> {
        let is_beyond = |c: usize| {
            let (gamma, inv_std) = (with.gamma[c].value(), with.inv_std[c].value());
            (gamma * inv_std).abs() > T::Scalar::LARGEST && gamma.is_finite() && inv_std.is_finite()
        };
        if !(0..view.channels).any(is_beyond) {
            return Ok(None);
        }
        let scale_of = |c: usize| {
            if is_beyond(c) {
                power_of_two_above(with.inv_std[c].value())
            } else {
                1.0
            }
        };
        let scales = collected((0..view.channels).map(scale_of))?;
        let unless_scaled = |values: &[T::Scalar]| {
            let nothing = T::Scalar::default();
            let kept =
                |(value, scale): (&T::Scalar, &f64)| if *scale == 1.0 { *value } else { nothing };
            collected(values.iter().zip(&scales).map(kept))
        };
        let scaled = |(i, value): (usize, &T)| {
            let c = view.channel_of(i);
            if scales[c] == 1.0 {
                return *value;
            }
            let deviation = value.value() - with.mean[c].value() - with.mean_low[c].value();
            T::nearest(deviation * scales[c])
        };
        let inv_std =
            |(inv_std, scale): (&T::Scalar, &f64)| T::Scalar::nearest(inv_std.value() / scale);
        Ok(Some(Self {
            view: *view,
            x: collected(x.iter().enumerate().map(scaled))?,
            mean: unless_scaled(with.mean)?,
            mean_low: unless_scaled(with.mean_low)?,
            inv_std: collected(with.inv_std.iter().zip(&scales).map(inv_std))?,
            scales,
        }))
    }

    pub(crate) fn x(&self) -> &[T] {
        &self.x
    }

    /// The same output, from this x.
    pub(crate) fn in_place_of_x<'a>(
        &'a self,
        x_to_y: InOut<&'a [T], &'a mut [T]>,
    ) -> InOut<&'a [T], &'a mut [T]> {
        match x_to_y {
            InOut::Separate(_, y) | InOut::InPlace(y) => InOut::Separate(&self.x, y),
        }
    }

    /// What this x is normalized with.
    pub(crate) fn normalization<'a>(
        &'a self,
        with: &Normalization<&'a [T::Scalar]>,
    ) -> Normalization<&'a [T::Scalar]> {
        Normalization {
            mean: &self.mean,
            mean_low: &self.mean_low,
            inv_std: &self.inv_std,
            ..*with
        }
    }

    /// Multiplies what was computed with this inv_std as if it were the whole.
    pub(crate) fn multiply(&self, dx: &mut [T]) {
        for (i, dx) in dx.iter_mut().enumerate() {
            let scale = self.scales[self.view.channel_of(i)];
            if scale != 1.0 {
                *dx = T::nearest(dx.value() * scale);
            }
        }
    }
}

/// The power of two that a normal number above zero is a half of, to all of.
fn power_of_two_above(value: f64) -> f64 {
    let exponent = value.to_bits() >> 52;
    f64::from_bits((exponent + 1).min(0x7fe) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_from_a_half_to_one() {
        for value in [1.0, 1.5, 1e-20, 3.4e38, 1e300] {
            let left = value / power_of_two_above(value);
            assert!((0.5..1.0).contains(&left), "{value:e}: {left}");
        }
        assert!(power_of_two_above(f64::MAX).is_finite());
    }
}
