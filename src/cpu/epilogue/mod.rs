//! What is done to the normalized value before it is stored, and to its gradient on the way back.

pub(crate) mod backward_mask;
pub(crate) mod mask_writer;

/// What is done to v.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue<'a, T> {
    pub residual: Option<&'a [T]>,
    pub relu: bool,
}
