//! How far inference goes over to the statistics of what it is given.

use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;

/// The weight of a batch's own statistics in [`BatchNorm::forward_adapted`](crate::BatchNorm::forward_adapted), beside the running ones.
/// Source: Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift adaptation".
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Adaptation {
    /// a in `(1 − a)·running + a·batch`: from 0, plain inference, to 1, the batch's alone (Nado et al. 2020, "Evaluating prediction-time
    /// batch normalization for robustness under covariate shift").
    Weight(f64),
    /// The running statistics count as those of N samples, beside the n of the batch: `a = n / (N + n)`. The paper takes N = 8 to 256,
    /// the smaller, the larger the batches are.
    Prior {
        /// N, zero or more.
        samples: f64,
    },
}

impl Adaptation {
    /// The weight of a batch of so many samples.
    ///
    /// ```
    /// use batchnorm::Adaptation;
    /// assert_eq!(Adaptation::Prior { samples: 16.0 }.weight(48)?, 0.75);
    /// assert!(Adaptation::Weight(1.5).weight(48).is_err());
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] for a weight outside 0 to 1, or a prior that is negative or not finite.
    pub fn weight(self, samples: usize) -> Result<f64> {
        let _mode = DefaultMode::enter();
        match self {
            Adaptation::Weight(weight) if (0.0..=1.0).contains(&weight) => Ok(weight),
            Adaptation::Weight(weight) => Err(Error::Value {
                what: "the weight of a batch that inference adapts to",
                found: weight.to_string(),
                needed: "from 0 to 1",
            }),
            Adaptation::Prior { samples: prior } if prior.is_finite() && prior >= 0.0 => {
                let samples = samples as f64;
                // No samples have no weight, also beside none.
                Ok(if samples == 0.0 {
                    0.0
                } else {
                    samples / (prior + samples)
                })
            }
            Adaptation::Prior { samples: prior } => Err(Error::Value {
                what: "the samples that running statistics count as",
                found: prior.to_string(),
                needed: "finite and not negative",
            }),
        }
    }
}
