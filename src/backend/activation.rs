//! THE ONE PLACE OF EVERY ACTIVATION: its definition, its derivative, and what the backward pass needs saved of it.
//!
//! A new activation is an entry in [`Activation::all`] and in each match of [`Activation`] here, and what the kernels do for it:
//! `src/cpu/epilogue`, `kernels/epilogue.cuh` and `computed.cuh`. The numbers that a GPU knows them by are in
//! `src/gpu/arguments.rs` and `kernels/arguments.cuh`; `src/gpu/epilogue.rs` translates. Whether it has second derivatives, `double_backward.rs` says.

use std::fmt;

use crate::backend::saved_activation::SavedActivation;
use crate::error::{Error, Result};
use crate::normal_distribution::lower_tail;

/// What is done to the normalized values before they are stored.
///
/// Definitions are PyTorch's, and so is what becomes of NaN: it stays. With a residual it is the activation of `y + residual`. Of
/// those whose derivative one bit cannot tell, the values before the activation are saved then, rounded as y is: a pass keeps an
/// array more ([`Activation::saves`]).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(0, y)`.
    Relu,
    /// `min(max(0, y), 6)`, with the derivative 0 at 0 and at 6. Source: Krizhevsky 2010.
    Relu6,
    /// y where it is above zero, `slope·y` elsewhere. Source: Maas, Hannun & Ng 2013, with a slope of 0.01, which is PyTorch's
    /// default. The slope is rounded to the type that is computed in.
    LeakyRelu {
        /// The factor of values that are not above zero: any finite number.
        slope: f64,
    },
    /// y where it is above zero, `alpha·(exp(y) − 1)` elsewhere. Source: Clevert, Unterthiner & Hochreiter 2016, with an alpha of
    /// 1, which is PyTorch's default. Alpha is rounded to the type that is computed in.
    Elu {
        /// Minus what is approached far below zero: any finite number.
        alpha: f64,
    },
    /// `y·min(max(0, y + 3), 6) / 6`, with the derivative 0 at −3 and 1 at 3, as PyTorch documents it (up to 2.6 it computes −1/2
    /// and 3/2). Source: Howard et al. 2019.
    Hardswish,
    /// `σ(y) = 1 / (1 + exp(−y))`. Source: Ioffe & Szegedy 2015 have it behind batch normalization.
    Sigmoid,
    /// `tanh(y)`. Source: LeCun, Bottou, Orr & Müller 1998.
    Tanh,
    /// `y·σ(y)`, also called swish. Source: Elfwing, Uchibe & Doya 2018.
    Silu,
    /// `y·Φ(y)` with the normal distribution Φ(y) = ½·(1 + erf(y/√2)): PyTorch's `approximate='none'`. Source: Hendrycks & Gimpel
    /// 2016.
    Gelu,
    /// `½·y·(1 + tanh(√(2/π)·(y + 0.044715·y³)))`: PyTorch's `approximate='tanh'`. Source: Hendrycks & Gimpel 2016.
    GeluTanh,
}

impl Activation {
    /// Every activation there is, in the order of their definitions; those that have a parameter with this one.
    ///
    /// ```
    /// use batchnorm::Activation;
    /// let names: Vec<String> = Activation::all(0.01, 1.0).map(|one| one.to_string()).collect();
    /// assert_eq!(names[..4], ["no activation", "relu", "relu6", "leaky_relu(slope=0.01)"]);
    /// ```
    pub fn all(slope: f64, alpha: f64) -> impl ExactSizeIterator<Item = Self> + Clone {
        [
            Activation::None,
            Activation::Relu,
            Activation::Relu6,
            Activation::LeakyRelu { slope },
            Activation::Elu { alpha },
            Activation::Hardswish,
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Silu,
            Activation::Gelu,
            Activation::GeluTanh,
        ]
        .into_iter()
    }

    /// The activation of v.
    pub fn forward(self, v: f64) -> f64 {
        match self {
            Activation::None => v,
            Activation::Relu6 if v >= 6.0 => 6.0,
            // Not `max`, which would lose NaN.
            Activation::Relu | Activation::Relu6 => kinked(v, 0.0, 0.0, v),
            Activation::LeakyRelu { slope } => kinked(v, 0.0, slope * v, v),
            Activation::Elu { alpha } => kinked(v, 0.0, alpha * v.exp_m1(), v),
            Activation::Hardswish => v * (Activation::Relu6.forward(v + 3.0) / 6.0),
            Activation::Sigmoid => sigma(v),
            Activation::Tanh => v.tanh(),
            Activation::Silu => v / (1.0 + (-v).exp()),
            Activation::Gelu => {
                let [tail, _] = lower_tail(v.abs());
                v * if v < 0.0 { tail } else { 1.0 - tail }
            }
            Activation::GeluTanh => v * sigma(gelu_tanh_argument(v)),
        }
    }

    /// Its derivative at v. Where it has two, it is that of the left, but at the 6 of ReLU6 and the 3 of hard swish that of the right; of
    /// NaN it is that of large v, if it is not NaN.
    pub fn derivative(self, v: f64) -> f64 {
        match self {
            Activation::None => 1.0,
            Activation::Relu6 if v >= 6.0 => 0.0,
            Activation::Relu | Activation::Relu6 => kinked(v, 0.0, 0.0, 1.0),
            Activation::LeakyRelu { slope } => kinked(v, 0.0, slope, 1.0),
            Activation::Elu { alpha } => kinked(v, 0.0, alpha * v.exp(), 1.0),
            Activation::Hardswish => {
                let below_3 = kinked(v, -3.0, 0.0, v / 3.0 + 0.5);
                if v < 3.0 { below_3 } else { 1.0 }
            }
            Activation::Sigmoid => sigma(v) * sigma(-v),
            Activation::Tanh => 4.0 * sigma(2.0 * v) * sigma(-2.0 * v),
            Activation::Silu => sigma(v) * (1.0 + v * sigma(-v)),
            Activation::Gelu => {
                let [tail, density_times_v] = lower_tail(v.abs());
                let of_negative = tail - density_times_v;
                if v < 0.0 {
                    of_negative
                } else {
                    1.0 - of_negative
                }
            }
            Activation::GeluTanh => {
                // Farther out σ is 0 or 1 to the last digit, and z may be infinite.
                let v = v.clamp(-32.0, 32.0);
                let z = gelu_tanh_argument(v);
                let slope = 3.0 * z - 2.0 * (GELU_TANH_LINEAR * v);
                sigma(z) * (1.0 + slope * sigma(-z))
            }
        }
    }

    /// Whether its derivative is constant but at its kinks, so that it has no part in second derivatives. Of the others no pass has those:
    /// [`Pass::double_backward`](crate::Pass::double_backward) is an error.
    pub fn has_second_derivatives(self) -> bool {
        match self {
            Activation::None
            | Activation::Relu
            | Activation::Relu6
            | Activation::LeakyRelu { .. } => true,
            Activation::Elu { .. }
            | Activation::Hardswish
            | Activation::Sigmoid
            | Activation::Tanh
            | Activation::Silu
            | Activation::Gelu
            | Activation::GeluTanh => false,
        }
    }

    /// Whether v can be found again from y = activation(v), so that a pass may keep y in x's place: no activation; leaky ReLU whose
    /// slope is above zero, where it and its inverse are normal numbers of `f32`; ELU with such an alpha. Of no other does a pass
    /// go backward from y: [`BatchNorm::forward_training_in_place`](crate::BatchNorm::forward_training_in_place) is an error.
    ///
    /// Source: Rota Bulò, Porzi & Kontschieder 2018, *In-place activated BatchNorm*, which has leaky ReLU and ELU.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whether it is in range is the question"
    )]
    pub fn has_inverse(self) -> bool {
        let is_factor = |parameter: f64| {
            let narrow = parameter as f32;
            narrow > 0.0 && narrow.is_normal() && narrow.recip().is_normal()
        };
        match self {
            Activation::None => true,
            Activation::LeakyRelu { slope } => is_factor(slope),
            Activation::Elu { alpha } => is_factor(alpha),
            Activation::Relu
            | Activation::Relu6
            | Activation::Hardswish
            | Activation::Sigmoid
            | Activation::Tanh
            | Activation::Silu
            | Activation::Gelu
            | Activation::GeluTanh => false,
        }
    }

    /// What a forward pass must save so that the backward pass knows the derivative. Without a residual v can be
    /// recomputed from x, which is kept anyway; after one, what tells the derivative is a bit where it has two values, and else v.
    pub fn saves(self, after_residual: bool) -> SavedActivation<(), ()> {
        match self {
            Activation::None => SavedActivation::Nothing,
            _ if !after_residual => SavedActivation::Nothing,
            Activation::Relu | Activation::Relu6 | Activation::LeakyRelu { .. } => {
                SavedActivation::Mask(())
            }
            Activation::Elu { .. }
            | Activation::Hardswish
            | Activation::Sigmoid
            | Activation::Tanh
            | Activation::Silu
            | Activation::Gelu
            | Activation::GeluTanh => SavedActivation::PreActivation(()),
        }
    }

    /// That its parameters are numbers to compute with.
    pub(crate) fn check(self) -> Result<()> {
        let (what, parameter) = match self {
            Activation::LeakyRelu { slope } => ("the slope of leaky ReLU", slope),
            Activation::Elu { alpha } => ("the alpha of ELU", alpha),
            _ => return Ok(()),
        };
        if parameter.is_finite() {
            return Ok(());
        }
        Err(Error::Value {
            what,
            found: parameter.to_string(),
            needed: "a finite number",
        })
    }
}

/// What there is below the kink and at it, or what there is above, and of NaN.
fn kinked(v: f64, kink: f64, below: f64, above: f64) -> f64 {
    if v <= kink { below } else { above }
}

fn sigma(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

/// What v is multiplied by in [`gelu_tanh_argument`]: 2·√(2/π).
const GELU_TANH_LINEAR: f64 = std::f64::consts::SQRT_2 * std::f64::consts::FRAC_2_SQRT_PI;

/// Twice what the tanh is taken of: ½·(1 + tanh z) = σ(2z).
fn gelu_tanh_argument(v: f64) -> f64 {
    GELU_TANH_LINEAR * v * (1.0 + 0.044_715 * v * v)
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activation::None => f.write_str("no activation"),
            Activation::Relu => f.write_str("relu"),
            Activation::Relu6 => f.write_str("relu6"),
            Activation::LeakyRelu { slope } => write!(f, "leaky_relu(slope={slope})"),
            Activation::Elu { alpha } => write!(f, "elu(alpha={alpha})"),
            Activation::Hardswish => f.write_str("hardswish"),
            Activation::Sigmoid => f.write_str("sigmoid"),
            Activation::Tanh => f.write_str("tanh"),
            Activation::Silu => f.write_str("silu"),
            Activation::Gelu => f.write_str("gelu"),
            Activation::GeluTanh => f.write_str("gelu_tanh"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAKY: Activation = Activation::LeakyRelu { slope: 0.25 };
    const ELU: Activation = Activation::Elu { alpha: 1.5 };

    fn all() -> impl Iterator<Item = Activation> {
        Activation::all(0.25, 1.5)
    }

    #[test]
    fn nan_stays() {
        for activation in all().skip(1) {
            assert!(activation.forward(f64::NAN).is_nan(), "{activation}");
        }
    }

    #[test]
    fn kinks_have_the_derivative_of_pytorch() {
        let of = |activation: Activation, at: [f64; 2]| at.map(|v| activation.derivative(v));
        assert_eq!(of(Activation::Relu, [0.0, f64::NAN]), [0.0, 1.0]);
        assert_eq!(of(Activation::Relu6, [0.0, 6.0]), [0.0, 0.0]);
        assert_eq!(of(Activation::Relu6, [3.0, f64::NAN]), [1.0, 1.0]);
        assert_eq!(of(Activation::Hardswish, [-3.0, 3.0]), [0.0, 1.0]);
        assert_eq!(of(LEAKY, [0.0, f64::NAN]), [0.25, 1.0]);
        assert_eq!(of(ELU, [0.0, f64::NAN]), [1.5, 1.0]);
    }

    #[test]
    fn values_are_those_of_the_formulas() {
        let of = |activation: Activation, v: [f64; 3]| v.map(|v| activation.forward(v));
        assert_eq!(of(Activation::Relu, [-2.0, -0.0, 3.0]), [0.0, 0.0, 3.0]);
        assert_eq!(of(Activation::Relu6, [-2.0, 3.0, 7.0]), [0.0, 3.0, 6.0]);
        assert_eq!(of(LEAKY, [-2.0, 0.0, 3.0]), [-0.5, 0.0, 3.0]);
        assert_eq!(of(Activation::Hardswish, [-3.0, 0.0, 3.0]), [0.0, 0.0, 3.0]);
        // By their formulas, worked out to more digits.
        let near = |activation: Activation, v: f64, expected: f64| {
            let found = activation.forward(v);
            assert!(
                (found - expected).abs() < 1e-12,
                "{activation} of {v}: {found}"
            );
        };
        near(Activation::Hardswish, -1.0, -1.0 / 3.0);
        near(
            Activation::Elu { alpha: 1.0 },
            -1.0,
            -0.632_120_558_828_557_7,
        );
        near(Activation::Sigmoid, -1.0, 0.268_941_421_369_995_1);
        near(Activation::Tanh, -1.0, -0.761_594_155_955_764_9);
        near(Activation::Silu, -1.0, -0.268_941_421_369_995_1);
        near(Activation::Gelu, -1.0, -0.158_655_253_931_457_05);
        near(Activation::GeluTanh, -1.0, -0.158_808_009_391_723_24);
    }

    #[test]
    fn derivatives_are_slopes() {
        for activation in all() {
            for i in -60..60 {
                // No kink is within the step.
                let (v, h) = ((f64::from(i) + 0.5) / 4.0, 1e-5);
                let slope = (activation.forward(v + h) - activation.forward(v - h)) / (2.0 * h);
                assert!(
                    (activation.derivative(v) - slope).abs() < 1e-9,
                    "{activation} at {v}"
                );
            }
        }
    }

    #[test]
    fn far_from_zero_nothing_becomes_nan() {
        for activation in all() {
            for v in [-1e300, -1e30, -50.0, 50.0, 1e30, 1e300] {
                assert!(activation.forward(v).is_finite(), "{activation} of {v}");
                assert!(activation.derivative(v).is_finite(), "{activation} at {v}");
            }
        }
    }

    #[test]
    fn parameters_are_finite() {
        assert!(Activation::LeakyRelu { slope: f64::NAN }.check().is_err());
        let elu = |alpha| Activation::Elu { alpha };
        assert!(elu(f64::INFINITY).check().is_err());
        assert!(elu(-1.0).check().is_ok());
    }

    #[test]
    fn those_of_which_v_can_be_found_have_an_inverse() {
        let with_inverse: Vec<Activation> = all().filter(|one| one.has_inverse()).collect();
        assert_eq!(with_inverse, [Activation::None, LEAKY, ELU]);
        for parameter in [0.0, -0.0, -1.0, 1e-39, 1e39, 1e38, f64::NAN] {
            assert!(!Activation::LeakyRelu { slope: parameter }.has_inverse());
            assert!(!Activation::Elu { alpha: parameter }.has_inverse());
        }
    }

    #[test]
    fn only_what_cannot_be_recomputed_is_saved() {
        for activation in all() {
            assert_eq!(activation.saves(false), SavedActivation::Nothing);
        }
        assert_eq!(Activation::None.saves(true), SavedActivation::Nothing);
        for of_two_slopes in [Activation::Relu, Activation::Relu6, LEAKY] {
            assert_eq!(of_two_slopes.saves(true), SavedActivation::Mask(()));
        }
        for curved in all().skip(4) {
            assert_eq!(curved.saves(true), SavedActivation::PreActivation(()));
        }
    }
}
