//! The memory that a stream's launches have for themselves.

/// Bytes of workspace: first the counters, then the partial sums.
pub const WORKSPACE_BYTES: usize = COUNTER_BYTES + PARTIAL_BYTES;
/// Bytes of the 32-bit counters.
pub const COUNTER_BYTES: usize = 1 << 20;
/// Bytes of partial sums, 16 for each pair of `f64` numbers.
pub const PARTIAL_BYTES: usize = 6 << 20;
