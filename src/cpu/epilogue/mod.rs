//! What is done to the normalized value v before it is stored as y, and to dy on the way back.
//!
//! An activation is defined in `activation.rs` alone; `forward.rs` and `backward.rs` bring it what was or is to be saved.

pub(crate) mod activation;
pub(crate) mod backward;
pub(crate) mod forward;
pub(crate) mod mask_writer;
