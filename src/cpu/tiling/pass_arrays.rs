//! How many arrays of all values a step or a pass reads and writes: what has to fit a cache together, so what decides how large a tile
//! may be.

/// Step 1: x.
pub(crate) const STATISTICS: usize = 1;
/// Step 4: dy and x.
pub(crate) const BACKWARD_REDUCE: usize = 2;
/// Forward training: x and y.
pub(crate) const FORWARD: usize = 2;
/// Backward: dy, x and dx.
pub(crate) const BACKWARD: usize = 3;
/// Second derivatives: x, dy, u, and what is written for dy and x.
pub(crate) const DOUBLE_BACKWARD: usize = 5;
