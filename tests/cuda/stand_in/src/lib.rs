//! The functions of NVIDIA's driver that this repository calls, without a GPU: launches go to the SIMT host, so that results are
//! right, and memory is the processor's. Work is done when it is put into a stream.
//!
//! Variables of the environment: `STAND_IN_MEGABYTES` is how much memory the device has (64: arrays of a test's size);
//! `STAND_IN_FAULT` the number of a fault that is planted in the kernels (0 for none), to see that somebody notices;
//! `STAND_IN_FAULTING_LAUNCH` and `STAND_IN_HANGING_LAUNCH` the number of the launch of a graph that takes its process along.

mod calls;
mod device;
mod launches;
mod memory;
mod plain_kernels;
mod state;
mod work;
