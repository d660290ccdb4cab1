//! The functions of NVIDIA's driver that this repository calls, without a GPU: launches go to the SIMT host, so that results are
//! right, and memory is the processor's. Work is done when it is put into a stream.
//!
//! Two variables of the environment: `STAND_IN_MEGABYTES` is how much memory the device has (64: arrays of a test's size), and
//! `STAND_IN_FAULT` the number of a fault that is planted in the kernels (0 for none), to see that somebody notices.

mod calls;
mod device;
mod launches;
mod memory;
mod plain_kernels;
mod state;
mod work;
