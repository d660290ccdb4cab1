//! What ranks may have to merge, statistics and gradient sums, on the host in `f64`. The kernels round them to the compute type, and
//! here they are read.

use crate::allocate::collected;
use crate::backend::checked::Checked;
use crate::backend::operands::{GradientSums, GradientSumsMut, MomentsMut, StatisticsMut};
use crate::backend::steps::Steps;
use crate::element::{Compute, DType, Element};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::driver::Driver;
use crate::shape::Shape;

/// Mean and sum of squared deviations of each channel.
pub(super) fn statistics<T: Element, D: Driver>(
    gpu: &Gpu<D>,
    checked: Checked,
    shape: &Shape,
    x: D::Slice<'_, T>,
    out: MomentsMut<'_>,
) -> Result<()> {
    let driver = &gpu.driver;
    let room = || driver.unspecified::<T::Compute>(shape.channels());
    let [mut mean, mut mean_low, mut variance, mut inv_std] = [room()?, room()?, room()?, room()?];
    let written = StatisticsMut {
        mean: D::as_slice_mut(&mut mean),
        mean_low: D::as_slice_mut(&mut mean_low),
        variance: D::as_slice_mut(&mut variance),
        inv_std: D::as_slice_mut(&mut inv_std),
        running: None,
    };
    // Next to nothing, for `exact_variance`.
    let epsilon = f64::MIN_POSITIVE;
    gpu.run_statistics::<T>(checked, shape, x, epsilon, written)?;
    let read = |buffer| driver.download::<T::Compute>(D::as_slice(buffer));
    let [mean, mean_low] = [read(&mean)?, read(&mean_low)?];
    let [variance, inv_std] = [read(&variance)?, read(&inv_std)?];
    let count = shape.values_per_channel() as f64;
    let MomentsMut {
        mean: means,
        mean_low: lows,
        m2,
    } = out;
    for c in 0..shape.channels() {
        means[c] = mean[c].to_f64();
        lows[c] = mean_low[c].to_f64();
        m2[c] = exact_variance(variance[c], inv_std[c]) * count;
    }
    Ok(())
}

/// A variance that the compute type holds in full is as it was stored, and `f64` holds all. Of another, that of values near
/// the largest or the smallest, `1 / sqrt(variance)` knows more.
fn exact_variance<C: Compute>(variance: C, inv_std: C) -> f64 {
    let (variance, inv_std) = (variance.to_f64(), inv_std.to_f64());
    let is_in_full =
        C::DTYPE == DType::F64 || (C::SMALLEST_SURE_SQUARE..=C::LARGEST).contains(&variance);
    let is_known = inv_std > 0.0 && inv_std < C::LARGEST;
    if is_in_full || !is_known {
        return variance;
    }
    1.0 / (inv_std * inv_std)
}

/// Σ dv·x̂ and Σ dv, as `reduce` writes them.
pub(super) fn backward_reduce<C: Compute, D: Driver>(
    gpu: &Gpu<D>,
    out: GradientSumsMut<&mut [f64]>,
    reduce: impl FnOnce(GradientSumsMut<D::SliceMut<'_, C>>) -> Result<()>,
) -> Result<()> {
    let driver = &gpu.driver;
    let mut gamma = driver.unspecified::<C>(out.gamma.len())?;
    let mut beta = driver.unspecified::<C>(out.beta.len())?;
    reduce(GradientSumsMut {
        gamma: D::as_slice_mut(&mut gamma),
        beta: D::as_slice_mut(&mut beta),
    })?;
    for (out, buffer) in [(out.gamma, &gamma), (out.beta, &beta)] {
        let values = driver.download::<C>(D::as_slice(buffer))?;
        for (out, value) in out.iter_mut().zip(values) {
            *out = value.to_f64();
        }
    }
    Ok(())
}

/// The sums where the kernels find them.
pub(super) fn upload<C: Compute, D: Driver>(
    gpu: &Gpu<D>,
    sums: Option<GradientSums<&[f64]>>,
) -> Result<Option<GradientSums<D::Buffer<C>>>> {
    let upload = |sums: &[f64]| {
        let rounded = collected(sums.iter().map(|&sum| C::from_f64(sum)))?;
        gpu.driver.upload(&rounded)
    };
    let upload_both = |sums: GradientSums<&[f64]>| {
        Ok(GradientSums {
            gamma: upload(sums.gamma)?,
            beta: upload(sums.beta)?,
            count: sums.count,
        })
    };
    sums.map(upload_both).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variance_beyond_the_type_is_known_from_the_deviation() {
        assert_eq!(exact_variance(0.25_f32, 2.0), 0.25);
        assert_eq!(
            exact_variance(f32::INFINITY, 2.0f32.powi(-70)),
            2.0f64.powi(140)
        );
        assert_eq!(exact_variance(0.0_f32, 2.0f32.powi(100)), 2.0f64.powi(-200));
        assert_eq!(exact_variance(0.0_f32, f32::MAX), 0.0);
        assert_eq!(exact_variance(0.0_f64, 1e153), 0.0);
        assert!(exact_variance(f32::NAN, f32::NAN).is_nan());
        assert_eq!(exact_variance(f32::INFINITY, 0.0), f64::INFINITY);
    }
}
