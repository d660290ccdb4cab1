//! Passes of ranks that have a GPU each, in the GPU's stream from beginning to end: the host waits for nothing.

pub(crate) mod pass;
mod side_by_side;
pub(crate) mod split;
mod training;
pub(crate) mod transport;
