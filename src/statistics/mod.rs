//! Statistics: of one batch, of many together, and the running ones that follow them; and the gradient sums of many.

pub(crate) mod batch;
mod exact_sum;
pub(crate) mod gradients;
pub(crate) mod merge;
pub(crate) mod pooled;
pub(crate) mod running;
