//! How far a result may be from the textbook: bounds that follow from the arithmetic, per data type.
//!
//! With u the unit roundoff of the compute type (2⁻²⁴, for f64 data 2⁻⁵³) and chains of at most 8 additions that end in
//! f64, a sum of n terms aᵢ is off by at most 8u·Σ|aᵢ| (7 additions and one rounding of each term). From this, to first
//! order, and with one roundoff more for every multiply-add of a level without FMA:
//!
//! - The shift k is the mean of 16 values spread over a block, so that |mean − k| ≤ σ and Σ(x − k)² ≤ 2Mσ² (it fails for
//!   ordinary data once in 10⁴ if the samples were all there was; data made to hurt is checked under `precision`).
//!   mean: 8u·E|x − k| ≤ 12uσ. variance: 8u + 2u for x − k and one for the square, on 2σ²: 22uσ². inv_std: half of it
//!   relatively, and one rounding: 12u.
//! - y: σ·inv_std ≤ 1 turns the mean's error into 12u|γ|; inv_std 12u, x − mean 1u, γ·inv_std 1u on |γx̂|; the sums of γx̂,
//!   β and the residual 2u each.
//! - dβ: 8uΣ|dv|. dγ: 8u, inv_std 12u, x̂ 2u on Σ|dv·x̂|, and the mean's 12uΣ|dv|. dx: inv_std and roundings 16u on its
//!   three parts, the errors of dβ and dγ over M, and the mean's 12u on the slope.
//! - Moments live in f64: 4·2⁻⁵³|mean| on the mean. Statistics that are given have no error but their rounding; the
//!   bounds hold for them all the more.
//! - Storing rounds once: the type's roundoff, or half its smallest step where it underflows.

use batchnorm::{DType, Element};

use crate::reference::{Backward, Forward, Problem};

/// The unit roundoff of what is computed in.
pub(crate) fn compute_roundoff<T: Element>() -> f64 {
    if T::DTYPE == DType::F64 {
        f64::EPSILON / 2.0
    } else {
        f64::from(f32::EPSILON) / 2.0
    }
}

/// What storing a value may cost.
pub(crate) fn store<T: Element>(value: f64) -> f64 {
    let (roundoff, smallest) = match T::DTYPE {
        DType::F16 => (2f64.powi(-11), 2f64.powi(-24)),
        DType::BF16 => (2f64.powi(-8), 2f64.powi(-133)),
        DType::F32 => (2f64.powi(-24), 2f64.powi(-149)),
        _ => (2f64.powi(-53), 0.0),
    };
    value.abs() * roundoff + smallest / 2.0
}

/// Bounds for one problem.
pub struct Tolerance<'a> {
    pub problem: &'a Problem,
    pub forward: &'a Forward,
}

impl Tolerance<'_> {
    fn mean_error<T: Element>(&self, c: usize) -> f64 {
        let sigma = self.forward.variance[c].sqrt();
        12.0 * compute_roundoff::<T>() * sigma
            + 4.0 * f64::EPSILON / 2.0 * self.forward.mean[c].abs()
    }

    pub fn mean<T: Element>(&self, c: usize) -> f64 {
        self.mean_error::<T>(c) + store::<T::Compute>(self.forward.mean[c])
    }

    pub fn variance<T: Element>(&self, c: usize) -> f64 {
        let variance = self.forward.variance[c];
        let from_mean = 2.0 * variance.sqrt() * self.mean_error::<T>(c);
        22.0 * compute_roundoff::<T>() * variance + from_mean + store::<T::Compute>(variance)
    }

    pub fn inv_std<T: Element>(&self, c: usize) -> f64 {
        let inv_std = self.forward.inv_std[c];
        self.variance::<T>(c) * inv_std.powi(3) / 2.0 + 2.0 * store::<T::Compute>(inv_std)
    }

    fn relative_inv_std<T: Element>(&self, c: usize) -> f64 {
        self.inv_std::<T>(c) / self.forward.inv_std[c]
    }

    /// The mean's error in deviations.
    fn mean_in_deviations<T: Element>(&self, c: usize) -> f64 {
        self.mean_error::<T>(c) * self.forward.inv_std[c]
    }

    pub fn y<T: Element>(&self, c: usize, i: usize) -> f64 {
        let u = compute_roundoff::<T>();
        let (gamma, beta) = (self.problem.gamma[c].abs(), self.problem.beta[c].abs());
        let residual = self
            .problem
            .residual
            .as_ref()
            .map_or(0.0, |residual| residual[i].abs());
        let scaled = gamma * self.forward.x_hat[i].abs();
        gamma * self.mean_in_deviations::<T>(c)
            + scaled * (self.relative_inv_std::<T>(c) + 4.0 * u)
            + 2.0 * u * (scaled + beta + residual)
            + store::<T>(self.forward.y[i])
    }

    /// For dγ, dβ and each dx of a channel.
    pub fn gradients<T: Element>(&self, c: usize, backward: &Backward) -> GradientTolerance {
        let u = compute_roundoff::<T>();
        let sum =
            |f: &dyn Fn(usize) -> f64| self.problem.channel(c).map(|i| f(i).abs()).sum::<f64>();
        let sum_dv = sum(&|i| backward.dv[i]);
        let sum_product = sum(&|i| backward.dv[i] * self.forward.x_hat[i]);
        let (relative, shift) = (
            self.relative_inv_std::<T>(c),
            self.mean_in_deviations::<T>(c),
        );
        let dbeta = 8.0 * u * sum_dv;
        let dgamma = (12.0 * u + relative) * sum_product + (shift + u) * sum_dv;
        let count = self.problem.shape.values_per_channel() as f64;
        let of_batch = if self.problem.running.is_none() {
            1.0
        } else {
            0.0
        };
        let scale = (self.problem.gamma[c] * self.forward.inv_std[c]).abs();
        let mean_product = of_batch * backward.dgamma[c].abs() / count;
        let mean_gradient = of_batch * backward.dbeta[c].abs() / count;
        GradientTolerance {
            dbeta: dbeta + store::<T::Compute>(backward.dbeta[c]),
            dgamma: dgamma + store::<T::Compute>(backward.dgamma[c]),
            dx_per_part: scale * (2.0 * relative + 6.0 * u),
            dx_constant: scale * (of_batch * dbeta / count + mean_product * shift),
            dx_per_x_hat: scale * of_batch * dgamma / count,
            mean_product,
            mean_gradient,
        }
    }
}

/// The parts of the bounds that a channel's values share.
pub struct GradientTolerance {
    pub dbeta: f64,
    pub dgamma: f64,
    dx_per_part: f64,
    dx_constant: f64,
    dx_per_x_hat: f64,
    mean_product: f64,
    mean_gradient: f64,
}

impl GradientTolerance {
    pub fn dx<T: Element>(&self, dv: f64, x_hat: f64, dx: f64) -> f64 {
        let parts = dv.abs() + self.mean_gradient + x_hat.abs() * self.mean_product;
        self.dx_per_part * parts
            + self.dx_constant
            + self.dx_per_x_hat * x_hat.abs()
            + store::<T>(dx)
    }
}
