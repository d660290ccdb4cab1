//! What a pass reads and writes, whoever owns the memory.

pub(crate) mod channel_array;
pub(crate) mod cloned;
pub(crate) mod lent;
pub(crate) mod masked;
pub(crate) mod tensor;
pub(crate) mod view;
