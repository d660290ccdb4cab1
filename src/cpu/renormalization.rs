//! Batch renormalization of some channels: γ·R and β + γ·D in the places of γ and β.

use std::ops::Range;

use crate::backend::operands::{Affine, Normalization, RenormalizedMut, RunningReference};
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::reduce::finalize::Finalized;
use crate::numeric::{Real, finite_factor};

/// What some channels are renormalized with: γ·R and β + γ·D, and R and D themselves.
#[derive(Debug)]
pub struct RenormalizedAffine<C: Real> {
    gamma: Scratch<C>,
    beta: Scratch<C>,
    r: Scratch<C>,
    d: Scratch<C>,
}

impl<C: Real> RenormalizedAffine<C> {
    /// From the batch's statistics, γ and β, against running statistics of before the batch.
    pub(crate) fn of(
        with: &Normalization<&[C]>,
        epsilon: f64,
        reference: &RunningReference<&[C]>,
    ) -> Self {
        let channels = with.mean.len();
        let [gamma, beta, r, d] = [0; 4].map(|_| Scratch::of_len(channels));
        let mut out = Self { gamma, beta, r, d };
        for c in 0..channels {
            let (r, d) = r_and_d(with, epsilon, reference, c);
            let gamma = with.gamma[c].value();
            out.gamma[c] = finite_factor(gamma * r, &[gamma, r]);
            out.beta[c] = C::nearest(with.beta[c].value() + gamma * d);
            out.r[c] = C::nearest(r);
            out.d[c] = C::nearest(d);
        }
        out
    }

    /// To the caller's memory.
    pub(crate) fn write(&self, out: RenormalizedMut<&mut [C]>) {
        let RenormalizedMut { gamma, beta, r, d } = out;
        gamma.copy_from_slice(&self.gamma);
        beta.copy_from_slice(&self.beta);
        r.copy_from_slice(&self.r);
        d.copy_from_slice(&self.d);
    }
}

/// R and D of a channel. The deviation is that of the stored inv_std, which x is multiplied by: where neither limit is reached, the two
/// cancel.
fn r_and_d<C: Real>(
    with: &Normalization<&[C]>,
    epsilon: f64,
    reference: &RunningReference<&[C]>,
    c: usize,
) -> (f64, f64) {
    let (r_max, d_max) = (reference.r_max, reference.d_max);
    let running_deviation = (reference.variance[c].value() + epsilon).sqrt();
    let r = 1.0 / (with.inv_std[c].value() * running_deviation);
    // What the mean rounds away comes last: the rest of the difference is exact where the two means are near each other.
    let shift = (with.mean[c].value() - reference.mean[c].value()) + with.mean_low[c].value();
    let d = shift / running_deviation;
    (r.clamp(1.0 / r_max, r_max), d.clamp(-d_max, d_max))
}

/// A batch's statistics, and what it was renormalized with, if it was.
pub(crate) type FinalizedBatch<C> = (Finalized<C>, Option<RenormalizedAffine<C>>);

/// What a batch is normalized with beside its statistics: γ and β, and what it is renormalized against, where it is.
#[derive(Debug, Clone, Copy)]
pub struct BatchAffine<'a, C> {
    pub(crate) affine: Affine<&'a [C]>,
    pub(crate) reference: Option<RunningReference<&'a [C]>>,
}

impl<C: Real> BatchAffine<'_, C> {
    /// ε.
    pub(crate) fn epsilon(&self) -> f64 {
        self.affine.epsilon
    }

    /// Of some of its channels.
    pub(crate) fn of_channels(&self, channels: &Range<usize>) -> Self {
        Self {
            affine: Affine {
                gamma: &self.affine.gamma[channels.clone()],
                beta: &self.affine.beta[channels.clone()],
                epsilon: self.affine.epsilon,
            },
            reference: self.reference.map(|reference| RunningReference {
                mean: &reference.mean[channels.clone()],
                variance: &reference.variance[channels.clone()],
                ..reference
            }),
        }
    }

    /// What channels with these statistics are renormalized with, where they are.
    pub(crate) fn renormalized(&self, statistics: &Finalized<C>) -> Option<RenormalizedAffine<C>> {
        let Affine {
            gamma,
            beta,
            epsilon,
        } = self.affine;
        let with = statistics.normalization(gamma, beta);
        self.reference
            .map(|reference| RenormalizedAffine::of(&with, epsilon, &reference))
    }

    /// What channels with these statistics are normalized with.
    pub(crate) fn normalization<'s>(
        &'s self,
        statistics: &'s Finalized<C>,
        renormalized: Option<&'s RenormalizedAffine<C>>,
    ) -> Normalization<&'s [C]> {
        match renormalized {
            Some(renormalized) => statistics.normalization(&renormalized.gamma, &renormalized.beta),
            None => statistics.normalization(self.affine.gamma, self.affine.beta),
        }
    }
}
