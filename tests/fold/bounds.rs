//! How far what was folded may be from what it was folded of.

use batchnorm::{Compute, DType, Element};

use crate::convolution::Convolution;

/// Half the distance from 1 to the next value.
pub(crate) fn unit_roundoff(dtype: DType) -> f64 {
    let digits = match dtype {
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::F32 => 24,
        _ => 53,
    };
    2.0f64.powi(-digits)
}

pub(crate) fn absolute(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value.abs()).collect()
}

/// What makes a result uncertain, each of every value of it.
pub(crate) struct Bounds {
    /// Σ|x||w| + |b| with the folded weights and bias, which are wrong by a unit roundoff each.
    pub(crate) of_weights: Vec<f64>,
    /// What the layer alone adds up, of which its result is wrong by some roundoffs.
    pub(crate) of_layer: Vec<f64>,
    /// What rounding in `f64` costs the layer's part, in units of it: sums of less than 100 terms, where it goes through some.
    pub(crate) sums_of_layer: f64,
}

impl Bounds {
    /// That the values are near enough for weights of type `T` and a layer that computes in `C`.
    pub(crate) fn check<T: Element, C: Compute>(
        &self,
        convolution: &Convolution<'_>,
        found: &[f64],
        expected: &[f64],
    ) {
        assert_eq!(found.len(), expected.len());
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            let of_weights = 1.01 * unit_roundoff(T::DTYPE) + 100.0 * f64::EPSILON;
            let of_layer = 8.0 * unit_roundoff(C::DTYPE) + self.sums_of_layer;
            let tolerance = of_weights * self.of_weights[index] + of_layer * self.of_layer[index];
            assert!(
                (found - expected).abs() <= tolerance,
                "{convolution:?} {} at {index}: {found} instead of {expected}, more than {tolerance:e} away",
                T::DTYPE
            );
        }
    }
}
