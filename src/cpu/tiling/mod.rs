//! How an array is seen and cut: what is decided here is where the work is, never what it is.

pub(crate) mod mask_layout;
pub(crate) mod pass_arrays;
pub(crate) mod plan;
pub(crate) mod span;
pub(crate) mod streams;
pub(crate) mod tile;
pub(crate) mod traversal;
pub(crate) mod view;
