//! This crate's errors as candle's, in candle's words.

use std::fmt::{self, Display, Formatter};

use crate::error::Error;
use crate::error::brief::brief;

/// This crate's error that an error of candle's came from, if it came from one, whatever context was added to it.
///
/// ```
/// use batchnorm::{Error, candle::{batch_norm, error_of}};
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{ModuleT, VarBuilder, VarMap};
///
/// let layer = batch_norm(3, 1e-5, VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu))?;
/// let one_value = Tensor::zeros((1, 3), DType::F32, &Device::Cpu)?;
/// let error = layer.forward_t(&one_value, true).unwrap_err();
/// assert!(matches!(error_of(&error), Some(Error::TooFewValues { found: 1, .. })));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn error_of(error: &candle_core::Error) -> Option<&Error> {
    match error {
        candle_core::Error::WrappedContext { wrapped, .. } => {
            match wrapped.downcast_ref::<InCandlesWords>() {
                Some(InCandlesWords(error)) => Some(error),
                None => error_of(wrapped.downcast_ref::<candle_core::Error>()?),
            }
        }
        candle_core::Error::Context { inner, .. }
        | candle_core::Error::WithPath { inner, .. }
        | candle_core::Error::WithBacktrace { inner, .. } => error_of(inner),
        _ => None,
    }
}

/// The error as one of candle's, of the only kind that keeps what it wraps.
pub(super) fn wrap(error: Error) -> candle_core::Error {
    candle_core::Error::WrappedContext {
        wrapped: Box::new(InCandlesWords(error)),
        context: "batchnorm::candle".to_owned(),
    }
    .bt()
}

/// Names what a person who uses candle has, where the error itself names what that person does not.
struct InCandlesWords(Error);

impl Display for InCandlesWords {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Error::Rank { dims, .. } => write!(
                f,
                "batch norm's input must be a tensor of 2 dimensions, (N, C), or more, got shape {dims:?}"
            ),
            Error::Channels { found, needed } => write!(
                f,
                "batch norm's input has {found} channels in dimension 1, but num_features is {needed}"
            ),
            Error::NoChannels => f.write_str("batch norm's num_features must be at least 1, got 0"),
            Error::TooFewValues { found, shape } => write!(
                f,
                "batch norm needs at least 2 values per channel in training, got {found} (shape {shape}): use forward_t(x, false), freeze() the layer, or a larger batch"
            ),
            Error::Epsilon { found, needed } => {
                write!(
                    f,
                    "batch norm's eps must be finite and {needed}, got {found}"
                )
            }
            Error::Momentum { found } => write!(
                f,
                "batch norm's momentum must be from 0 to 1, the weight of the new batch, got {found}"
            ),
            Error::TensorShape {
                name,
                found,
                needed,
            } => write!(
                f,
                "batch norm's {name} must have shape {needed:?}, got {}",
                brief(found)
            ),
            Error::TensorDType {
                name,
                found,
                needed,
            } => write!(
                f,
                "batch norm's {name} must be of dtype {needed}, got {found}"
            ),
            Error::DeviceMismatch { found, needed } => write!(
                f,
                "a tensor is on {found}, needed is {needed}: bring it there (Tensor::to_device)"
            ),
            other => Display::fmt(other, f),
        }
    }
}

/// What candle prints of an error that it wraps.
impl fmt::Debug for InCandlesWords {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl std::error::Error for InCandlesWords {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
