//! The proof that a step's operands were checked.

/// That a step's operands have been checked, which a GPU's kernels rely on: only the methods of [`Backend`](super::Backend) make one, so
/// that nobody else can call the steps of a backend.
#[derive(Debug, Clone, Copy)]
pub struct Checked(pub(in crate::backend) ());
