//! Passes that write an array value by value: how a tile is walked, and which coefficients each channel's values are computed with.

pub(crate) mod broadcast;
pub(crate) mod coefficients;
pub(crate) mod driver;
