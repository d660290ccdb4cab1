//! The plan on devices of two generations.

mod choices;
mod invariants;

use crate::element::DType;
use crate::gpu::driver::Attributes;
use crate::gpu::plan::view::View;
use crate::shape::{Layout, Shape};

/// An H200's numbers, as its data sheet and the CUDA programming guide have them.
const HOPPER: Attributes = Attributes {
    architecture: 90,
    multiprocessors: 132,
    shared_per_block: 227 << 10,
    shared_per_multiprocessor: 228 << 10,
    threads_per_multiprocessor: 2048,
    l2_bytes: 60 << 20,
    cluster_blocks: 8,
    cooperative: true,
};

/// A T4's: no clusters, little shared memory.
const TURING: Attributes = Attributes {
    architecture: 75,
    multiprocessors: 40,
    shared_per_block: 64 << 10,
    shared_per_multiprocessor: 64 << 10,
    threads_per_multiprocessor: 1024,
    l2_bytes: 4 << 20,
    cluster_blocks: 1,
    cooperative: true,
};

fn view(dims: &[usize], layout: Layout, dtype: DType) -> View {
    View::of(&Shape::new(dims, layout).unwrap(), dtype)
}
