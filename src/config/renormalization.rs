//! How far batch renormalization lets the statistics of a batch be from the running ones, and how that changes over a training.

use std::fmt;

use crate::error::{Error, Result};

/// Batch renormalization: a batch is normalized with its own statistics and then brought to the running ones, as they were before the
/// batch, as far as two limits allow. With s = sqrt(running variance + ε),
///
/// ```text
/// R = clip(sqrt(variance + ε) / s, 1/r_max, r_max)
/// D = clip((mean − running mean) / s, −d_max, d_max)
/// y = γ·(x̂·R + D) + β
/// ```
///
/// R and D are constants to the gradients: dx is that of a layer with γ·R for γ, `dγ = R·Σ dv·x̂ + D·Σ dv`, `dβ = Σ dv`. Where neither
/// limit is reached, y is what the running statistics give. With r_max = 1 and d_max = 0 ([`OFF`](Self::OFF)) it is plain batch
/// normalization, to the bit. Inference and frozen passes are the same with it and without it.
///
/// It is for small batches, for batches of samples that are not independent, and for small
/// [ghost batches](crate::BatchNormConfig::ghost_batch): there the statistics of a batch are far from those that the layer infers
/// with. The running statistics should be near the data before the limits are widened: see [`RenormalizationSchedule`].
///
/// Source: Ioffe 2017, "Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models", algorithm 1.
///
/// ```
/// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Renormalization, Shape, Tensor};
/// let cpu = Cpu::new();
/// let config = BatchNormConfig::new(1).renormalization(Renormalization::new(3.0, 5.0));
/// let mut layer = BatchNorm::new(&cpu, config)?;
/// layer.running_mut().unwrap().set(&[1.0], &[4.0], 1)?;
/// let x = Tensor::new(&cpu, Shape::channels_first(&[2, 1])?, &[2.0f32, 4.0])?;
/// let (y, _) = layer.forward_training(&x)?; // (2 − 1) / 2 and (4 − 1) / 2: neither limit is reached
/// let rounded: Vec<f32> = y.to_vec()?.iter().map(|y| (y * 100.0).round() / 100.0).collect();
/// assert_eq!(rounded, [0.5, 1.5]);
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Renormalization {
    r_max: f64,
    d_max: f64,
}

impl Renormalization {
    /// Plain batch normalization.
    pub const OFF: Self = Self::new(1.0, 0.0);

    /// With R from `1/r_max` to `r_max`, at least 1, and D from `-d_max` to `d_max`, at least 0: both finite, which is checked where a
    /// layer takes them.
    pub const fn new(r_max: f64, d_max: f64) -> Self {
        Self { r_max, d_max }
    }

    /// The largest R.
    pub fn r_max(&self) -> f64 {
        self.r_max
    }

    /// The largest D.
    pub fn d_max(&self) -> f64 {
        self.d_max
    }

    /// That they are limits.
    pub(crate) fn check(self) -> Result<()> {
        check_limits(self.r_max, self.d_max)
    }
}

/// The limits, such as `renormalization(r_max=3, d_max=5)`.
impl fmt::Display for Renormalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "renormalization(r_max={}, d_max={})",
            self.r_max, self.d_max
        )
    }
}

/// That limits are finite, and leave R = 1 and D = 0 between them.
pub(crate) fn check_limits(r_max: f64, d_max: f64) -> Result<()> {
    let error = |what, found: f64, needed| {
        let found = found.to_string();
        Err(Error::Value {
            what,
            found,
            needed,
        })
    };
    if !(r_max.is_finite() && r_max >= 1.0) {
        return error("r_max of renormalization", r_max, "finite and at least 1");
    }
    if !(d_max.is_finite() && d_max >= 0.0) {
        return error("d_max of renormalization", d_max, "finite and at least 0");
    }
    Ok(())
}

/// How the limits widen over a training: plain batch normalization while the running statistics find the data, then in straight lines
/// up to the last limits, which stay. A layer is told the limits of each step:
///
/// ```
/// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Renormalization, RenormalizationSchedule};
/// let schedule = RenormalizationSchedule::of_paper();
/// let mut layer = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(8).renormalization(schedule.at(0)))?;
/// for step in 0..3 {
///     layer.set_renormalization(schedule.at(step))?;
///     // ... a training step ...
/// }
/// assert_eq!(schedule.at(5_000), Renormalization::OFF);
/// assert_eq!(schedule.at(15_000), Renormalization::new(1.0 + 2.0 * 10.0 / 35.0, 2.5));
/// assert_eq!(schedule.at(40_000), Renormalization::new(3.0, 5.0));
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenormalizationSchedule {
    /// The last step of plain batch normalization.
    plain_until: u64,
    last: Renormalization,
    /// The first steps with the last r_max and d_max.
    r_max_from: u64,
    d_max_from: u64,
}

impl RenormalizationSchedule {
    /// Plain batch normalization up to step `plain_until`; from there to `last`, of which r_max is reached at the step `r_max_from` and
    /// d_max at `d_max_from`. (What is to be reached at once is there on the step after.)
    pub const fn new(
        plain_until: u64,
        last: Renormalization,
        r_max_from: u64,
        d_max_from: u64,
    ) -> Self {
        Self {
            plain_until,
            last,
            r_max_from,
            d_max_from,
        }
    }

    /// That of the paper's experiments: plain up to step 5,000, r_max = 3 from step 40,000 on, d_max = 5 from step 25,000 on. (The
    /// paper says "gradually" of the way there; the straight lines are this crate's.)
    pub const fn of_paper() -> Self {
        Self::new(5_000, Renormalization::new(3.0, 5.0), 40_000, 25_000)
    }

    /// The limits of a step, of which the first is 0.
    pub fn at(&self, step: u64) -> Renormalization {
        let Renormalization { r_max, d_max } = self.last;
        Renormalization {
            r_max: 1.0 + (r_max - 1.0) * self.share(step, self.r_max_from),
            d_max: d_max * self.share(step, self.d_max_from),
        }
    }

    /// How much of the way from plain batch normalization to the last limit is done at a step.
    fn share(&self, step: u64, end: u64) -> f64 {
        if step <= self.plain_until {
            0.0
        } else if step >= end {
            1.0
        } else {
            (step - self.plain_until) as f64 / (end - self.plain_until) as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_widen_from_none_to_the_last() {
        let last = Renormalization::new(2.0, 1.0);
        let schedule = RenormalizationSchedule::new(10, last, 20, 14);
        assert_eq!(schedule.at(0), Renormalization::OFF);
        assert_eq!(schedule.at(10), Renormalization::OFF);
        assert_eq!(schedule.at(12), Renormalization::new(1.2, 0.5));
        assert_eq!(schedule.at(14), Renormalization::new(1.4, 1.0));
        assert_eq!(schedule.at(20), last);
        assert_eq!(schedule.at(u64::MAX), last);
    }

    #[test]
    fn limits_that_are_to_be_reached_at_once_are() {
        let last = Renormalization::new(2.0, 1.0);
        let schedule = RenormalizationSchedule::new(10, last, 0, 10);
        assert_eq!(schedule.at(10), Renormalization::OFF);
        assert_eq!(schedule.at(11), last);
    }
}
