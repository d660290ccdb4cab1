//! Ghost batches: the same as the groups one by one, the textbook's gradients, what remains at the end, and what is
//! refused.

mod groups;
mod one_by_one;
