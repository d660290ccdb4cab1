//! The passes on a GPU, and what its memory can do.

pub mod ceilings;
pub mod rows;
mod timing;
