//! THE ONLY CHOICE OF LAUNCH: which kernel, how many blocks, how much shared memory, which part of the work to whom.
//!
//! Pure but for the environment variable that `tuning.rs` reads: a shape, a type and a device's numbers
//! ([`Attributes`](super::Attributes)) in, a launch ([`Launch`](super::Launch)) out. Nothing here asks a driver. Every plan that is
//! right is a candidate (`candidates`), each has a predicted time (`cost`), and `choice` takes one.

pub(crate) mod candidates;
pub(crate) mod choice;
pub(crate) mod columns;
pub mod cost;
pub(crate) mod descriptor;
pub(crate) mod explanation;
pub(crate) mod launch_plan;
pub(crate) mod occupancy;
pub(crate) mod split;
#[cfg(test)]
mod tests;
pub(crate) mod tuning;

pub use choice::{Considered, Reason, choose};
pub use descriptor::{Arrangement, TensorDescriptor};
pub use explanation::Explanation;
pub use launch_plan::{Direction, LaunchPlan, PassPlan};
pub use split::{Step, step};
pub use tuning::Tuning;
