//! Other libraries' arrays and parameters.

pub(crate) mod conversion;
pub(crate) mod fold;
pub(crate) mod ndarray;
pub(crate) mod parameters;
