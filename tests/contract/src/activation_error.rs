//! How far an activation takes results from the textbook.
//!
//! With e the error of v, and u the roundoff of the compute type:
//!
//! - ReLU and ReLU6 choose: |y'| ≤ 1 takes e to y, and dv is dy or 0.
//! - Leaky ReLU rounds the slope and a product: 2u of y and of dv.
//! - The others are computed (`Computed`): |y'| takes e to y, |y''| takes it to dv, and so does a jump of y' that v may be on either
//!   side of. Where v was saved (after a residual) it was rounded as it was stored. Beside that y is off by a share of itself, and
//!   the derivative by so many roundoffs of 1. exp is off by 2u, 1 − exp by 4u, each sum, product, quotient and constant by 1u:
//!   - SiLU: exp, 1 + exp, the quotient, its product with exp, v·σ: 6u; the derivative is at most 1.1, of which three sums and
//!     products and σ(−v) make 8u.
//!   - sigmoid: one product less, 5u; the derivative is at most 1/4, twice 5u of it and a product: 3u.
//!   - tanh: 1 − exp, 1 + exp and their quotient: 7u; 4·exp/(1 + exp)²: exp, the sum and the quotient twice, two products: 8u.
//!   - ELU: 1 − exp, alpha and a product: 6u; the derivative exp, alpha and a product: 4u of alpha.
//!   - hard swish: v + 3, 1/6 and two products: 4u; the derivative v·⅓ + ½ is at most 1.5, and as much are its parts: 5u.
//!   - GELU: Φ(−|v|) is off by 7u (`src/normal_distribution.rs`), or as much of at most ½; 1 − Φ and v·Φ: 9u; v·φ is at most
//!     ¼, the derivative's three parts at most 1: 10u.
//!   - GELU by tanh: σ as above but for its argument z, which is off by 4u of itself, and σ by 4u·|z|: 6u + 4u·|z|; of the
//!     derivative, in which |z|·σ(−|z|) ≤ 0.28 and z'·v·σ(z)·σ(−z) ≤ 0.5, all of that makes 20u.
//! - An error d of dv is in dβ as Σd, in dγ as Σd·|x̂|, and in dx beside its own as both over M.

use batchnorm::{Activation, Element};

use crate::reference::{Forward, Problem};
use crate::tolerance::{compute_roundoff, store};

pub struct ActivationError<'a> {
    problem: &'a Problem,
    forward: &'a Forward,
    roundoff: f64,
}

/// An activation that takes more than a choice.
struct Computed {
    /// The largest |y'| and |y''|.
    slope: f64,
    curvature: f64,
    /// By how many roundoffs y is off, of itself, and the derivative, of 1.
    of_y: f64,
    of_derivative: f64,
    /// Where y' jumps, either side of zero, and by how much.
    jump: (f64, f64),
}

/// Whether dv is computed from v, not chosen.
pub fn is_computed(activation: Activation) -> bool {
    computed(activation, 0.0).is_some()
}

fn computed(activation: Activation, v: f64) -> Option<Computed> {
    let (slope, curvature, of_y, of_derivative) = match activation {
        Activation::Silu => (1.1, 0.5, 6.0, 8.0 * 1.1),
        Activation::Sigmoid => (0.25, 0.1, 5.0, 3.0),
        Activation::Tanh => (1.0, 0.8, 7.0, 8.0),
        Activation::Elu { alpha } => (alpha.abs().max(1.0), alpha.abs(), 6.0, 4.0 * alpha.abs()),
        Activation::Hardswish => (1.5, 1.0 / 3.0, 4.0, 5.0),
        Activation::Gelu => (1.2, 0.8, 9.0, 10.0),
        Activation::GeluTanh => {
            let z = 1.6 * v.abs() + 0.072 * v.abs().powi(3);
            (1.2, 0.9, 6.0 + 4.0 * z, 20.0)
        }
        _ => return None,
    };
    let jump = match activation {
        Activation::Elu { alpha } => (0.0, (1.0 - alpha).abs()),
        Activation::Hardswish => (3.0, 0.5),
        _ => (0.0, 0.0),
    };
    Some(Computed {
        slope,
        curvature,
        of_y,
        of_derivative,
        jump,
    })
}

/// What it adds to the bounds of a channel's gradients.
pub struct GradientError {
    pub dgamma: f64,
    pub dbeta: f64,
    /// |γ|·inv_std.
    scale: f64,
    /// M, where the gradient goes through the statistics.
    count: Option<f64>,
}

impl<'a> ActivationError<'a> {
    pub fn of<T: Element>(problem: &'a Problem, forward: &'a Forward) -> Self {
        Self {
            problem,
            forward,
            roundoff: compute_roundoff::<T>(),
        }
    }

    /// The bound of y from that of v, in which storing y is.
    pub fn y<T: Element>(&self, i: usize, of_v: f64) -> f64 {
        let roundoff = self.roundoff * self.forward.y[i].abs();
        match self.problem.activation {
            Activation::LeakyRelu { .. } => of_v + 2.0 * roundoff,
            activation => match computed(activation, self.forward.v[i]) {
                Some(computed) => {
                    let storing = store::<T>(self.forward.y[i]);
                    computed.slope * (of_v - storing) + computed.of_y * roundoff + storing
                }
                None => of_v,
            },
        }
    }

    /// The bound of dv.
    pub fn dv<T: Element>(&self, i: usize, of_v: f64) -> f64 {
        let dy = self.problem.dy[i].abs();
        let v = self.forward.v[i];
        let activation = self.problem.activation;
        if let Activation::LeakyRelu { slope } = activation {
            return 2.0 * self.roundoff * dy * slope.abs();
        }
        let Some(computed) = computed(activation, v) else {
            return 0.0;
        };
        let saved = match self.problem.residual {
            Some(_) => store::<T>(v),
            None => 0.0,
        };
        let of_v = of_v + saved;
        let (at, by) = computed.jump;
        let jump = if (v.abs() - at).abs() <= of_v {
            by
        } else {
            0.0
        };
        dy * (computed.curvature * of_v + jump + computed.of_derivative * self.roundoff)
    }

    /// The same where it is stored, as the residual's gradient.
    pub fn stored_dv<T: Element>(&self, i: usize, of_v: f64) -> f64 {
        let largest = match self.problem.activation {
            Activation::LeakyRelu { .. } => 1.1,
            activation => match computed(activation, self.forward.v[i]) {
                Some(computed) => computed.slope,
                None => return 0.0,
            },
        };
        self.dv::<T>(i, of_v) + store::<T>(largest * self.problem.dy[i])
    }

    pub fn gradients<T: Element>(&self, c: usize, of_v: impl Fn(usize) -> f64) -> GradientError {
        let sum = |of: &dyn Fn(usize) -> f64| {
            let errors = self.problem.channel(c);
            errors.map(|i| self.dv::<T>(i, of_v(i)) * of(i)).sum()
        };
        GradientError {
            dgamma: sum(&|i| self.forward.x_hat[i].abs()),
            dbeta: sum(&|_| 1.0),
            scale: (self.problem.gamma[c] * self.forward.inv_std[c]).abs(),
            count: match self.problem.running {
                Some(_) => None,
                None => Some(self.problem.shape.values_per_channel() as f64),
            },
        }
    }
}

impl GradientError {
    pub fn dx(&self, of_dv: f64, x_hat: f64) -> f64 {
        let through_statistics = self.count.map_or(0.0, |count| {
            (self.dbeta + x_hat.abs() * self.dgamma) / count
        });
        self.scale * (of_dv + through_statistics)
    }
}
