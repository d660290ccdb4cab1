//! Sums over the values of each channel, and what becomes of them.

pub(crate) mod centres;
pub(crate) mod columns;
pub(crate) mod finalize;
pub(crate) mod moments;
pub(crate) mod pivot;
pub(crate) mod planes;
pub(crate) mod terms;
