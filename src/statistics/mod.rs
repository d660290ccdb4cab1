//! Statistics: of one batch, of many together, and the running ones that follow them.

pub(crate) mod batch;
pub(crate) mod pooled;
pub(crate) mod running;
