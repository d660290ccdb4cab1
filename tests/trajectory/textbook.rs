//! Batch normalization and ReLU in a few lines of f64, right or with one of the classic mistakes.

use ndarray::{Array1, Array2, Axis, Zip};

use crate::network::{Hidden, State};

const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The running variance follows the biased one.
    BiasedRunningVariance,
    /// The batch is normalized with the unbiased variance.
    UnbiasedNormalization,
    /// Momentum is the weight of the old value.
    MomentumReversed,
    /// dx as if the variance did not depend on x.
    NoVarianceTerm,
    /// dx as if the mean did not depend on x.
    NoMeanTerm,
    /// ε is added to the root, not under it.
    EpsilonOutsideRoot,
    /// dγ = Σ dv·x.
    ScaleGradientFromInput,
}

pub(crate) const MISTAKES: [Mistake; 7] = [
    Mistake::BiasedRunningVariance,
    Mistake::UnbiasedNormalization,
    Mistake::MomentumReversed,
    Mistake::NoVarianceTerm,
    Mistake::NoMeanTerm,
    Mistake::EpsilonOutsideRoot,
    Mistake::ScaleGradientFromInput,
];

pub(crate) struct Textbook {
    gamma: Array1<f64>,
    beta: Array1<f64>,
    running_mean: Array1<f64>,
    running_variance: Array1<f64>,
    mistake: Option<Mistake>,
}

/// What the way back needs.
pub(crate) struct Kept {
    x: Array2<f64>,
    normalized: Array2<f64>,
    inv_std: Array1<f64>,
    y: Array2<f64>,
}

impl Textbook {
    pub(crate) fn new(mistake: Option<Mistake>) -> Self {
        Self {
            gamma: Array1::ones(32),
            beta: Array1::zeros(32),
            running_mean: Array1::zeros(32),
            running_variance: Array1::ones(32),
            mistake,
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn inv_std(&self, variance: &Array1<f64>) -> Array1<f64> {
        if self.makes(Mistake::EpsilonOutsideRoot) {
            variance.mapv(|variance| 1.0 / (variance.sqrt() + EPSILON))
        } else {
            variance.mapv(|variance| 1.0 / (variance + EPSILON).sqrt())
        }
    }

    fn activate(&self, normalized: &Array2<f64>) -> Array2<f64> {
        (normalized * &self.gamma + &self.beta).mapv_into(|v| v.max(0.0))
    }

    fn follow(&mut self, mean: &Array1<f64>, variance: &Array1<f64>) {
        let new = if self.makes(Mistake::MomentumReversed) {
            1.0 - MOMENTUM
        } else {
            MOMENTUM
        };
        let old = 1.0 - new;
        self.running_mean = old * &self.running_mean + new * mean;
        self.running_variance = old * &self.running_variance + new * variance;
    }
}

impl Hidden<f64> for Textbook {
    type Kept = Kept;

    fn forward(&mut self, x: Array2<f64>) -> (Array2<f64>, Kept) {
        let count = x.nrows() as f64;
        let mean = x.sum_axis(Axis(0)) / count;
        let centered = &x - &mean;
        let biased = (&centered * &centered).sum_axis(Axis(0)) / count;
        let unbiased = &biased * (count / (count - 1.0));
        let inv_std = if self.makes(Mistake::UnbiasedNormalization) {
            self.inv_std(&unbiased)
        } else {
            self.inv_std(&biased)
        };
        let followed = if self.makes(Mistake::BiasedRunningVariance) {
            &biased
        } else {
            &unbiased
        };
        self.follow(&mean, followed);
        let normalized = centered * &inv_std;
        let y = self.activate(&normalized);
        let kept = Kept {
            x,
            normalized,
            inv_std,
            y: y.clone(),
        };
        (y, kept)
    }

    fn backward(&mut self, kept: Kept, dy: Array2<f64>, rate: f64) -> Array2<f64> {
        let mut dv = dy;
        Zip::from(&mut dv).and(&kept.y).for_each(|dv, &y| {
            if y <= 0.0 {
                *dv = 0.0;
            }
        });
        let count = dv.nrows() as f64;
        let dbeta = dv.sum_axis(Axis(0));
        let dgamma = (&dv * &kept.normalized).sum_axis(Axis(0));
        let mut dx = dv.clone();
        if !self.makes(Mistake::NoMeanTerm) {
            dx = dx - &dbeta / count;
        }
        if !self.makes(Mistake::NoVarianceTerm) {
            dx = dx - &kept.normalized * &(&dgamma / count);
        }
        dx = dx * (&self.gamma * &kept.inv_std);
        let dgamma = if self.makes(Mistake::ScaleGradientFromInput) {
            (&dv * &kept.x).sum_axis(Axis(0))
        } else {
            dgamma
        };
        self.gamma.scaled_add(-rate, &dgamma);
        self.beta.scaled_add(-rate, &dbeta);
        dx
    }

    fn infer(&self, x: Array2<f64>) -> Array2<f64> {
        self.activate(&((x - &self.running_mean) * self.inv_std(&self.running_variance)))
    }

    fn state(&self) -> State {
        State {
            gamma: self.gamma.to_vec(),
            beta: self.beta.to_vec(),
            running_mean: self.running_mean.to_vec(),
            running_variance: self.running_variance.to_vec(),
        }
    }
}
