//! Other libraries' arrays and parameters.

#[cfg(feature = "ndarray")]
pub(crate) mod array;
pub(crate) mod conversion;
pub(crate) mod fold;
pub(crate) mod fold_batch;
pub(crate) mod fold_following;
#[cfg(feature = "ndarray")]
pub(crate) mod ndarray;
pub(crate) mod parameters;
#[cfg(any(feature = "ndarray", feature = "candle"))]
pub(crate) mod strides;
