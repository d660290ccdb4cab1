//! The host that runs the kernels on the processor: that it runs them right, and that it finds their mistakes.

mod conversions;
mod execution;
mod faults;
mod in_place;
mod kernels;
mod launch;
mod mistakes;
mod overruns;
mod process;
mod races;
