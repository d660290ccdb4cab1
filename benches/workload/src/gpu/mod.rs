//! The passes on a GPU, and what its hardware can do.

pub mod barriers;
pub mod ceilings;
mod check;
pub mod latencies;
mod own_kernels;
pub mod rows;
pub mod selection;
mod timing;
pub mod wanted;
