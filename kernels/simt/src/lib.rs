//! The GPU's kernels on the processor, from the same source, to test them.
//!
//! A small host (the C++ beside this folder) runs each block on a thread of the system and the threads of the block in turn on that
//! one, in random order, and looks for what a GPU would not tell: barriers that not all threads reach, waits that
//! nobody ends, unaligned accesses, shared memory that was never written. With the environment variable
//! `BATCHNORM_SIMT_SANITIZE` set to `address,undefined` or `thread` when the crate is built, gcc's sanitizers see accesses
//! out of bounds and races between blocks as well.

mod device;
mod driver;
mod grid;
mod host;
mod limits;
mod memory;

pub use device::SimtDevice;
pub use driver::SimtDriver;
pub use grid::Grid;
pub use host::{Fault, HostKernel, argument_layout, faults, kernels, sees_overruns, sees_races};
pub use memory::SimtBuffer;

/// The SIMT host as a GPU.
pub type Simt = batchnorm::gpu::Gpu<SimtDriver>;
