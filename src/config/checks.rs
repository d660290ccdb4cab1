//! Which settings are allowed.

use crate::config::BatchNormConfig;
use crate::config::averaging::Averaging;
use crate::error::{Error, Result};

impl BatchNormConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::NoChannels`], [`Error::Epsilon`] (not finite or negative), [`Error::Momentum`] (outside 0 to 1),
    /// [`Error::Value`] (a ghost batch of no samples; [`Averaging::Cumulative`] where the running statistics are to be kept
    /// finite; limits of renormalization that are not finite, r_max below 1 or d_max below 0, and [`Averaging::Off`] where there is to
    /// be renormalization).
    pub fn validate(&self) -> Result<()> {
        if self.channels == 0 {
            return Err(Error::NoChannels);
        }
        check_inference_epsilon(self.epsilon)?;
        self.activation.check()?;
        if self.ghost_batch == Some(0) {
            return Err(Error::Value {
                what: "a ghost batch",
                found: "0 samples".to_owned(),
                needed: "at least 1 sample",
            });
        }
        if self.keep_running_finite && self.averaging == Averaging::Cumulative {
            return Err(Error::Value {
                what: "the averaging of running statistics that are kept finite",
                found: "cumulative".to_owned(),
                needed: "exponential: a channel that did not follow a batch would weigh the next one wrongly",
            });
        }
        if let Some(limits) = self.renormalization {
            limits.check()?;
            if self.averaging == Averaging::Off {
                return Err(Error::Value {
                    what: "the averaging of a layer with renormalization",
                    found: Averaging::Off.to_string(),
                    needed: "exponential or cumulative: batches are renormalized against running statistics",
                });
            }
        }
        match self.averaging {
            Averaging::Exponential { momentum } if !(0.0..=1.0).contains(&momentum) => {
                Err(Error::Momentum { found: momentum })
            }
            _ => Ok(()),
        }
    }

    /// Checks that batch statistics may be used, which need ε above zero.
    pub(crate) fn check_epsilon_for_batch_statistics(&self) -> Result<()> {
        check_training_epsilon(self.epsilon)
    }
}

/// A variance of zero must not divide by zero: batch statistics need ε finite and above zero.
pub(crate) fn check_training_epsilon(epsilon: f64) -> Result<()> {
    if epsilon.is_finite() && epsilon > 0.0 {
        return Ok(());
    }
    Err(Error::Epsilon {
        found: epsilon,
        needed: "above zero with batch statistics",
    })
}

/// With statistics that are given, ε may be zero.
pub(crate) fn check_inference_epsilon(epsilon: f64) -> Result<()> {
    if epsilon.is_finite() && epsilon >= 0.0 {
        return Ok(());
    }
    Err(Error::Epsilon {
        found: epsilon,
        needed: "not negative",
    })
}
