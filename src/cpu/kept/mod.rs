//! What of an array is kept, where not all of it is: which lanes of a vector, what they weigh, how much of a tile.

pub(crate) mod lanes;
pub(crate) mod of_view;
pub(crate) mod period;
pub(crate) mod sampled;
pub(crate) mod value_bits;
