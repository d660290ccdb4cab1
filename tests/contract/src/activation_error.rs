//! How far an activation that is computed, not chosen, takes results from the textbook.
//!
//! With e the error of v, and u the roundoff of the compute type:
//!
//! - Leaky ReLU rounds the slope and a product: 2u of y and of dv.
//! - SiLU: |y'| ≤ 1.1 takes e to y, |y''| ≤ 0.5 takes it to dv. exp is off by 2u, 1 + exp and the quotient by 1u each, v·σ by
//!   another, so that y is off by 6u of it; the derivative is at most 1.1, of which three sums and products and σ(−v) make 8u.
//!   Where v was saved (after a residual) it was rounded as it was stored.
//! - An error d of dv is in dβ as Σd, in dγ as Σd·|x̂|, and in dx beside its own as both over M.

use batchnorm::{Activation, Element};

use crate::reference::{Forward, Problem};
use crate::tolerance::{compute_roundoff, store};

pub struct ActivationError<'a> {
    problem: &'a Problem,
    forward: &'a Forward,
    roundoff: f64,
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

    /// The bound of y from that of v.
    pub fn y(&self, i: usize, of_v: f64) -> f64 {
        let computed = self.roundoff * self.forward.y[i].abs();
        match self.problem.activation {
            Activation::LeakyRelu { .. } => of_v + 2.0 * computed,
            Activation::Silu => 1.1 * of_v + 6.0 * computed,
            _ => of_v,
        }
    }

    /// The bound of dv.
    pub fn dv<T: Element>(&self, i: usize, of_v: f64) -> f64 {
        let dy = self.problem.dy[i].abs();
        match self.problem.activation {
            Activation::LeakyRelu { slope } => 2.0 * self.roundoff * dy * slope.abs(),
            Activation::Silu => {
                let saved = match self.problem.residual {
                    Some(_) => store::<T>(self.forward.v[i]),
                    None => 0.0,
                };
                dy * (0.5 * (of_v + saved) + 8.0 * 1.1 * self.roundoff)
            }
            _ => 0.0,
        }
    }

    /// The same where it is stored, as the residual's gradient.
    pub fn stored_dv<T: Element>(&self, i: usize, of_v: f64) -> f64 {
        match self.problem.activation {
            Activation::LeakyRelu { .. } | Activation::Silu => {
                self.dv::<T>(i, of_v) + store::<T>(1.1 * self.problem.dy[i])
            }
            _ => 0.0,
        }
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
