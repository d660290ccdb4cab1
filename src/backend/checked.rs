//! What holds while a backend does a step.

use crate::floating_point_mode::DefaultMode;

/// That a step's operands have been checked, which a GPU's kernels rely on, and that the calling thread computes in the default
/// floating-point mode, until this is dropped. Only the methods of [`Backend`](super::Backend) make one, so that nobody else can call
/// the steps of a backend.
#[derive(Debug)]
pub struct Checked {
    _mode: DefaultMode,
}

impl Checked {
    /// Of a step whose operands were checked.
    pub(in crate::backend) fn new() -> Self {
        Self {
            _mode: DefaultMode::enter(),
        }
    }
}
