//! Activations that are computed, value by value, where the others choose between v and something simple: compilers make vectors of
//! it. By the same operations in the same order as `kernels/computed.cuh`.

use crate::backend::activation::Activation;
use crate::cpu::simd::vector::LANES;
use crate::cpu::simd::{Kernel, Simd};
use crate::exponential::{ExpOfNegative, Exponential};
use crate::logarithm::{Logarithm, logarithm_of_one_plus};
use crate::logistic::logistic;
use crate::normal_distribution::{NormalDistribution, lower_tail};
use crate::numeric::Real;

/// y in place of v.
pub(crate) struct ForwardOfEach<'a, C> {
    pub(crate) activation: Activation,
    pub(crate) v_to_y: &'a mut [[C; LANES]],
}

impl<C: Real> Kernel for ForwardOfEach<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let values = self.v_to_y;
        match self.activation {
            Activation::Silu => replace(values, silu),
            Activation::Hardswish => replace(values, hardswish),
            Activation::Sigmoid => replace(values, sigmoid),
            Activation::Tanh => replace(values, tanh),
            Activation::Elu { alpha } => {
                let alpha = C::nearest(alpha);
                replace(values, |v| elu(v, alpha));
            }
            Activation::Gelu => replace(values, gelu),
            Activation::GeluTanh => replace(values, gelu_tanh),
            Activation::None
            | Activation::Relu
            | Activation::Relu6
            | Activation::LeakyRelu { .. } => {}
        }
    }
}

/// dv in place of dy.
pub(crate) struct BackwardOfEach<'a, C> {
    pub(crate) activation: Activation,
    pub(crate) dy_to_dv: &'a mut [[C; LANES]],
    pub(crate) v: &'a [[C; LANES]],
}

impl<C: Real> Kernel for BackwardOfEach<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { dy_to_dv, v, .. } = self;
        match self.activation {
            Activation::Silu => multiply(dy_to_dv, v, silu_derivative),
            Activation::Hardswish => combine(dy_to_dv, v, hardswish_backward),
            Activation::Sigmoid => multiply(dy_to_dv, v, sigmoid_derivative),
            Activation::Tanh => multiply(dy_to_dv, v, tanh_derivative),
            Activation::Elu { alpha } => {
                let alpha = C::nearest(alpha);
                multiply(dy_to_dv, v, |v| elu_derivative(v, alpha));
            }
            Activation::Gelu => multiply(dy_to_dv, v, gelu_derivative),
            Activation::GeluTanh => multiply(dy_to_dv, v, gelu_tanh_derivative),
            Activation::None
            | Activation::Relu
            | Activation::Relu6
            | Activation::LeakyRelu { .. } => {}
        }
    }
}

/// v in place of y, and dv in place of dy.
pub(crate) struct InverseOfEach<'a, C> {
    pub(crate) activation: Activation,
    pub(crate) dy_to_dv: &'a mut [[C; LANES]],
    pub(crate) y_to_v: &'a mut [[C; LANES]],
    /// The roundoff of the type that y was stored in.
    pub(crate) roundoff: C,
}

impl<C: Real> Kernel for InverseOfEach<'_, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self {
            activation,
            dy_to_dv,
            y_to_v,
            roundoff,
        } = self;
        if let Activation::Elu { alpha } = activation {
            let alpha = C::nearest(alpha);
            multiply(dy_to_dv, y_to_v, |y| elu_derivative_of_output(y, alpha));
            replace(y_to_v, |y| elu_inverse(y, alpha, roundoff));
        }
    }
}

/// In one loop: of two, compilers unroll the inner one first and then gather values from all over the outer one.
#[inline(always)]
fn replace<C: Copy>(values: &mut [[C; LANES]], by: impl Fn(C) -> C) {
    for value in values.as_flattened_mut() {
        *value = by(*value);
    }
}

#[inline(always)]
fn combine<C: Copy>(dy: &mut [[C; LANES]], v: &[[C; LANES]], by: impl Fn(C, C) -> C) {
    for (dy, &v) in dy.as_flattened_mut().iter_mut().zip(v.as_flattened()) {
        *dy = by(*dy, v);
    }
}

#[inline(always)]
fn multiply<C: Real>(dy: &mut [[C; LANES]], v: &[[C; LANES]], derivative: impl Fn(C) -> C) {
    combine(dy, v, |dy, v| dy * derivative(v));
}

#[inline(always)]
fn silu<C: Exponential>(v: C) -> C {
    let [sigma, _] = logistic(v);
    v * sigma
}

#[inline(always)]
fn silu_derivative<C: Exponential>(v: C) -> C {
    let [sigma, of_negative] = logistic(v);
    sigma * (C::from(1.0) + v * of_negative)
}

#[inline(always)]
fn hardswish<C: Exponential>(v: C) -> C {
    let above = v + C::from(3.0);
    let above = if above < C::from(0.0) {
        C::from(0.0)
    } else {
        above
    };
    let gate = if above > C::from(6.0) {
        C::from(6.0)
    } else {
        above
    };
    v * (gate * (C::from(1.0) / C::from(6.0)))
}

/// Chosen where the derivative is 0: zero times infinity would be NaN.
#[inline(always)]
fn hardswish_backward<C: Exponential>(dy: C, v: C) -> C {
    let between = dy * (v * (C::from(1.0) / C::from(3.0)) + C::from(0.5));
    let not_below = if v < C::from(3.0) { between } else { dy };
    if v <= C::from(-3.0) {
        C::from(0.0)
    } else {
        not_below
    }
}

#[inline(always)]
fn sigmoid<C: Exponential>(v: C) -> C {
    let [sigma, _] = logistic(v);
    sigma
}

#[inline(always)]
fn sigmoid_derivative<C: Exponential>(v: C) -> C {
    let [sigma, of_negative] = logistic(v);
    sigma * of_negative
}

/// (1 − e) / (1 + e) with e = exp(−2|v|), and v's sign.
#[inline(always)]
fn tanh<C: Exponential>(v: C) -> C {
    let e = ExpOfNegative::of(C::from(2.0) * v.magnitude());
    let of_magnitude = e.complement() / (C::from(1.0) + e.value());
    if v < C::from(0.0) {
        -of_magnitude
    } else {
        of_magnitude
    }
}

/// 1 − tanh² = 4e / (1 + e)², which keeps its digits where tanh is nearly 1.
#[inline(always)]
fn tanh_derivative<C: Exponential>(v: C) -> C {
    let e = ExpOfNegative::of(C::from(2.0) * v.magnitude()).value();
    let twice_inverse = C::from(2.0) / (C::from(1.0) + e);
    e * (twice_inverse * twice_inverse)
}

#[inline(always)]
fn elu<C: Exponential>(v: C, alpha: C) -> C {
    let below = -(alpha * ExpOfNegative::of(v.magnitude()).complement());
    if v <= C::from(0.0) { below } else { v }
}

#[inline(always)]
fn elu_derivative<C: Exponential>(v: C, alpha: C) -> C {
    let below = alpha * ExpOfNegative::of(v.magnitude()).value();
    if v <= C::from(0.0) {
        below
    } else {
        C::from(1.0)
    }
}

/// ln(1 + y/α). A y that was rounded to −α tells no more of v than that 1 + y/α was at most half a roundoff, and that is taken for it.
#[inline(always)]
fn elu_inverse<C: Logarithm>(y: C, alpha: C, roundoff: C) -> C {
    let below = logarithm_of_one_plus(y / alpha, roundoff * C::from(0.5));
    if y <= C::from(0.0) { below } else { y }
}

/// α·exp(v), which is y + α.
#[inline(always)]
fn elu_derivative_of_output<C: Exponential>(y: C, alpha: C) -> C {
    if y <= C::from(0.0) {
        y + alpha
    } else {
        C::from(1.0)
    }
}

#[inline(always)]
fn gelu<C: NormalDistribution>(v: C) -> C {
    let [tail, _] = lower_tail(v.magnitude());
    v * if v < C::from(0.0) {
        tail
    } else {
        C::from(1.0) - tail
    }
}

/// Φ(v) + v·φ(v).
#[inline(always)]
fn gelu_derivative<C: NormalDistribution>(v: C) -> C {
    let [tail, a_density] = lower_tail(v.magnitude());
    let of_negative = tail - a_density;
    if v < C::from(0.0) {
        of_negative
    } else {
        C::from(1.0) - of_negative
    }
}

/// 2·√(2/π).
const GELU_TANH_LINEAR: f64 = 1.595_769_121_605_730_8;
/// 0.044715 times that.
const GELU_TANH_CUBIC: f64 = 0.071_354_816_272_600_25;

/// ½·(1 + tanh z) = σ(2z) with 2z = v·(linear + cubic·v²): σ(2z), σ(−2z), and 2z's derivative times v.
#[inline(always)]
fn gelu_tanh_gate<C: Real>(v: C) -> [C; 3] {
    // Beyond, σ(2z) is 0 or 1 to the last digit, and the cube of v may be infinite.
    let farthest = C::from(32.0);
    let v = if v > farthest { farthest } else { v };
    let v = if v < -farthest { -farthest } else { v };
    let linear = C::nearest(GELU_TANH_LINEAR);
    let cubic = C::nearest(GELU_TANH_CUBIC) * (v * v);
    let [sigma, of_negative] = logistic(v * (linear + cubic));
    [sigma, of_negative, v * (linear + C::from(3.0) * cubic)]
}

#[inline(always)]
fn gelu_tanh<C: Real>(v: C) -> C {
    let [sigma, ..] = gelu_tanh_gate(v);
    v * sigma
}

#[inline(always)]
fn gelu_tanh_derivative<C: Real>(v: C) -> C {
    let [sigma, of_negative, slope] = gelu_tanh_gate(v);
    sigma * (C::from(1.0) + slope * of_negative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::portable::Portable;

    /// An activation, by how many roundoffs its y may be off, of itself, and its derivative, of 1: as `tests/contract` derives them.
    const OFF: [(Activation, f64, f64); 7] = [
        (Activation::Silu, 6.0, 9.0),
        (Activation::Hardswish, 4.0, 5.0),
        (Activation::Sigmoid, 5.0, 3.0),
        (Activation::Tanh, 7.0, 8.0),
        (Activation::Elu { alpha: 0.75 }, 6.0, 4.0),
        (Activation::Gelu, 9.0, 10.0),
        (Activation::GeluTanh, 6.0, 20.0),
    ];

    /// All over the range of f32, and denser where activations bend.
    fn magnitudes() -> impl Iterator<Item = f64> {
        let all = (0..4_000).map(|i| 3e38 * 0.957f64.powi(i));
        all.chain((0..12_000).map(|i| f64::from(i) / 100.0))
    }

    fn forward<C: Real>(activation: Activation, v: C) -> f64 {
        let mut values = [[v; LANES]];
        let v_to_y = &mut values;
        ForwardOfEach { activation, v_to_y }.run(Portable);
        values[0][0].value()
    }

    fn backward<C: Real>(activation: Activation, dy: f64, v: C) -> f64 {
        let mut values = [[C::nearest(dy); LANES]];
        let (dy_to_dv, v) = (&mut values, &[[v; LANES]]);
        BackwardOfEach {
            activation,
            dy_to_dv,
            v,
        }
        .run(Portable);
        values[0][0].value()
    }

    /// `of_definition` is by how many roundoffs the definition may be off itself, and `smallest` the least number.
    fn check<C: Real>(of_definition: f64, smallest: f64) {
        let roundoff = C::EPSILON / 2.0;
        for (activation, of_y, of_derivative) in OFF {
            for v in magnitudes().flat_map(|v| [v, -v]) {
                let v = C::nearest(v);
                let of_argument = match activation {
                    // What the exponent is off by, as often as it is large.
                    Activation::GeluTanh => {
                        let v = v.value().abs();
                        (1.0 + of_definition) * 4.0 * (1.6 * v + 0.072 * v.powi(3)).min(1e4)
                    }
                    _ => 0.0,
                };
                // Below the smallest normal number there are fewer digits.
                let smallest = 4.0 * smallest * (1.0 + v.value().abs().min(1e3));
                let expected = activation.forward(v.value());
                let off = (forward(activation, v) - expected).abs();
                let most = (of_y + of_argument + of_definition) * roundoff;
                assert!(
                    off <= most * expected.abs() + smallest,
                    "{activation} of {v:?}: {off:e} beside {expected:e}"
                );
                let expected = activation.derivative(v.value());
                let off = (backward(activation, 1.0, v) - expected).abs();
                assert!(
                    off <= (of_derivative + of_definition) * roundoff,
                    "{activation} at {v:?}: {off:e} beside {expected:e}"
                );
            }
        }
    }

    #[test]
    fn activations_are_near_their_definitions_all_over_the_range() {
        check::<f32>(0.0, f64::from(f32::from_bits(1)));
        // Of a subnormal result the definitions know nothing: their exponentials overflow before.
        check::<f64>(4.0, f64::MIN_POSITIVE);
    }

    #[test]
    fn what_is_chosen_is_not_multiplied() {
        let infinite = f64::INFINITY;
        assert_eq!(backward(Activation::Hardswish, infinite, -3.0f32), 0.0);
        assert_eq!(backward(Activation::Hardswish, infinite, -9.0f64), 0.0);
        assert_eq!(backward(Activation::Hardswish, infinite, 3.0f32), infinite);
    }
}
