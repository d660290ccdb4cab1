//! What is done to the normalized value v before it is stored as y, and to dy on the way back.
//!
//! On vectors, `activation.rs` and `computed.rs` alone know which activations there are; `forward.rs` and `backward.rs` bring them what
//! was or is to be saved.

pub(crate) mod activation;
pub(crate) mod backward;
pub(crate) mod computed;
pub(crate) mod forward;
pub(crate) mod mask_writer;
pub(crate) mod output;
