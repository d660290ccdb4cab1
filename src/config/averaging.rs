//! How running statistics follow the batches.

use std::fmt;

/// How the running statistics follow the batches.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Averaging {
    /// `running = (1 - momentum) * running + momentum * batch`: momentum is the weight of the **new** batch,
    /// PyTorch's convention. (Keras, flax and ONNX give the weight of the old value.)
    Exponential {
        /// From 0 (never moves) to 1 (keeps the last batch only).
        momentum: f64,
    },
    /// The plain average over every batch seen that is not empty: PyTorch's `momentum=None`.
    Cumulative,
    /// No running statistics. Every pass normalizes with the batch's own, as PyTorch's
    /// `track_running_stats=False` does.
    Off,
}

/// A momentum of 0.1, PyTorch's default.
impl Default for Averaging {
    fn default() -> Self {
        Averaging::Exponential { momentum: 0.1 }
    }
}

impl fmt::Display for Averaging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Averaging::Exponential { momentum } => write!(f, "momentum={momentum}"),
            Averaging::Cumulative => f.write_str("cumulative average"),
            Averaging::Off => f.write_str("no running statistics"),
        }
    }
}

/// Which estimate of the batch variance the running variance follows. (The batch itself is always normalized
/// with the biased one.)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RunningVariance {
    /// ÷(M−1): the paper, PyTorch, cuDNN.
    #[default]
    Unbiased,
    /// ÷M: Keras, flax, haiku, ONNX.
    Population,
}
