//! THE ONE PLACE OF EVERY ACTIVATION: its definition, its derivative, and what the backward pass needs saved of it.
//!
//! A new activation is an entry in each match of [`Activation`] here, and what the kernels do for it: `src/cpu/epilogue`,
//! `kernels/epilogue.cuh`. The numbers that a GPU knows them by are in `src/gpu/arguments.rs` and
//! `kernels/arguments.cuh`; `src/gpu/epilogue.rs` translates.

use std::fmt;

use crate::backend::saved_activation::SavedActivation;
use crate::error::{Error, Result};

/// What is done to the normalized values before they are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(0, y)`; NaN stays NaN, as in PyTorch. With a residual: `max(0, y + residual)`.
    Relu,
    /// y where it is above zero, `slope·y` elsewhere; NaN stays NaN. Source: Maas, Hannun & Ng 2013, with a slope of 0.01,
    /// which is PyTorch's default. The slope is rounded to the type that is computed in.
    LeakyRelu {
        /// The factor of values that are not above zero: any finite number.
        slope: f64,
    },
    /// `y·σ(y)` with σ(y) = 1 / (1 + exp(−y)), also called swish. Source: Elfwing, Uchibe & Doya 2018. With a residual the
    /// values before the activation are saved, rounded as y is: a pass then keeps an array more.
    Silu,
}

impl Activation {
    /// The activation of v.
    pub fn forward(self, v: f64) -> f64 {
        match self {
            Activation::None => v,
            // Not `max`, which would lose NaN.
            Activation::Relu => {
                if v <= 0.0 {
                    0.0
                } else {
                    v
                }
            }
            Activation::LeakyRelu { slope } => {
                if v <= 0.0 {
                    slope * v
                } else {
                    v
                }
            }
            Activation::Silu => v / (1.0 + (-v).exp()),
        }
    }

    /// Its derivative at v. For ReLU it is 0 at 0 (the slope, if it leaks), and 1 where v is NaN.
    pub fn derivative(self, v: f64) -> f64 {
        match self {
            Activation::None => 1.0,
            Activation::Relu => {
                if v <= 0.0 {
                    0.0
                } else {
                    1.0
                }
            }
            Activation::LeakyRelu { slope } => {
                if v <= 0.0 {
                    slope
                } else {
                    1.0
                }
            }
            Activation::Silu => {
                let (sigma, rest) = (1.0 / (1.0 + (-v).exp()), 1.0 / (1.0 + v.exp()));
                sigma * (1.0 + v * rest)
            }
        }
    }

    /// What a forward pass must save so that the backward pass knows the derivative. Without a residual v can be
    /// recomputed from x, which is kept anyway.
    pub fn saves(self, after_residual: bool) -> SavedActivation<(), ()> {
        match self {
            Activation::Relu | Activation::LeakyRelu { .. } if after_residual => {
                SavedActivation::Mask(())
            }
            Activation::Silu if after_residual => SavedActivation::PreActivation(()),
            Activation::None
            | Activation::Relu
            | Activation::LeakyRelu { .. }
            | Activation::Silu => SavedActivation::Nothing,
        }
    }

    /// That its parameters are numbers to compute with.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Activation::LeakyRelu { slope } if !slope.is_finite() => Err(Error::Value {
                what: "the slope of leaky ReLU",
                found: slope.to_string(),
                needed: "a finite number",
            }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activation::None => f.write_str("no activation"),
            Activation::Relu => f.write_str("relu"),
            Activation::LeakyRelu { slope } => write!(f, "leaky_relu(slope={slope})"),
            Activation::Silu => f.write_str("silu"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relu_keeps_nan_and_is_flat_at_zero() {
        let relu = Activation::Relu;
        assert_eq!(
            [-2.0, -0.0, 0.0, 3.0].map(|v| relu.forward(v)),
            [0.0, 0.0, 0.0, 3.0]
        );
        assert_eq!(
            [-2.0, 0.0, 3.0].map(|v| relu.derivative(v)),
            [0.0, 0.0, 1.0]
        );
        assert!(relu.forward(f64::NAN).is_nan());
        assert_eq!(relu.derivative(f64::NAN), 1.0);
    }

    #[test]
    fn leaky_relu_goes_on_below_zero() {
        let leaky = Activation::LeakyRelu { slope: 0.25 };
        assert_eq!([-2.0, 0.0, 3.0].map(|v| leaky.forward(v)), [-0.5, 0.0, 3.0]);
        assert_eq!(
            [-2.0, 0.0, 3.0].map(|v| leaky.derivative(v)),
            [0.25, 0.25, 1.0]
        );
        assert!(leaky.forward(f64::NAN).is_nan());
        assert_eq!(leaky.saves(true), SavedActivation::Mask(()));
        assert!(Activation::LeakyRelu { slope: f64::NAN }.check().is_err());
    }

    #[test]
    fn the_derivative_of_silu_is_its_slope() {
        let silu = Activation::Silu;
        for i in -60..=60 {
            let (v, h) = (f64::from(i) / 4.0, 1e-5);
            let slope = (silu.forward(v + h) - silu.forward(v - h)) / (2.0 * h);
            assert!((silu.derivative(v) - slope).abs() < 1e-9, "{v}");
        }
        assert_eq!(silu.forward(0.0), 0.0);
        assert_eq!(silu.derivative(0.0), 0.5);
    }

    #[test]
    fn only_what_cannot_be_recomputed_is_saved() {
        assert_eq!(Activation::Relu.saves(true), SavedActivation::Mask(()));
        assert_eq!(Activation::Relu.saves(false), SavedActivation::Nothing);
        assert_eq!(Activation::None.saves(true), SavedActivation::Nothing);
    }
}
