//! The plan on devices of two generations.

mod cases;
mod choices;
mod invariants;
mod launch_checks;

use crate::element::DType;
use crate::gpu::attributes::Attributes;
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::shape::{Layout, Shape};

const HOPPER: Attributes = Attributes::H200;

/// A T4's: no clusters, little shared memory.
const TURING: Attributes = Attributes {
    architecture: 75,
    multiprocessors: 40,
    shared_per_block: 64 << 10,
    shared_per_multiprocessor: 64 << 10,
    threads_per_multiprocessor: 1024,
    l2_bytes: 4 << 20,
    memory_rate: 320_000_000_000,
    clock_khz: 1_590_000,
    cluster_blocks: 1,
    cluster_blocks_alone: 1,
    cooperative: true,
};

fn descriptor(dims: &[usize], layout: Layout, dtype: DType) -> TensorDescriptor {
    TensorDescriptor::of(&Shape::new(dims, layout).unwrap(), dtype)
}
