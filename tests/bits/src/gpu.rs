//! The columns of `kernels/simt/tests/bits/simt.txt`: for which device a GPU's passes are planned, and by which strategy.
//!
//! Sums are cut as the work is planned, so that each plan has bits of its own; and the plan follows from the device's numbers. So
//! these devices are the table's: a GPU that is planned for as if it were one of them gives the bits of its column.

use batchnorm::Shape;
use batchnorm::gpu::Attributes;

use crate::cases::Scope;

/// A column of the table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    /// What is planned for.
    pub device: Attributes,
    /// What the plan is told, as in `BATCHNORM_PLAN`.
    pub tuning: &'static str,
}

/// sm_90, as an H200 but of 8 multiprocessors and as much less of its memory's rate: clusters of up to 16 blocks, 227 KiB of
/// shared memory for a block.
pub const HOPPER: Attributes = Attributes {
    architecture: 90,
    multiprocessors: 8,
    shared_per_block: 227 << 10,
    shared_per_multiprocessor: 228 << 10,
    threads_per_multiprocessor: 2048,
    l2_bytes: 50 << 20,
    memory_rate: 290_000_000_000,
    clock_khz: 1_980_000,
    cluster_blocks: 16,
    cluster_blocks_alone: 16,
    cooperative: true,
};

/// No GPU there is: so little shared memory and cache that arrays of a test's size are large to it.
pub const TINY: Attributes = Attributes {
    multiprocessors: 3,
    shared_per_block: 40 << 10,
    shared_per_multiprocessor: 80 << 10,
    threads_per_multiprocessor: 1024,
    l2_bytes: 96 << 10,
    memory_rate: 100_000_000_000,
    cluster_blocks: 1,
    cluster_blocks_alone: 1,
    ..HOPPER
};

/// All columns, in the order of the table.
pub const COLUMNS: [Column; 7] = [
    column("planned", HOPPER, ""),
    column("planned_for_tiny", TINY, ""),
    column("split", HOPPER, "strategy=split"),
    column("on_chip", HOPPER, "strategy=on-chip,cluster=4"),
    column("ticketed", HOPPER, "strategy=ticketed,group=2"),
    column("pipelined", HOPPER, "strategy=pipelined,group=2"),
    column("persistent", HOPPER, "strategy=persistent"),
];

const fn column(name: &'static str, device: Attributes, tuning: &'static str) -> Column {
    Column {
        name,
        device,
        tuning,
    }
}

/// The names of the columns.
pub fn names() -> [&'static str; COLUMNS.len()] {
    COLUMNS.map(|column| column.name)
}

/// Shapes by how the plan cuts them: see `src/gpu/plan/`.
pub const SCOPE: Scope = Scope {
    in_every_pass: small,
    in_some_passes: large,
    with_unusual_data: odd,
    in_separate_steps: odd,
};

/// A block or less each: small planes, which are taken as columns, and columns.
fn small() -> Vec<Shape> {
    vec![first(&[5, 6, 5, 3]), last(&[7, 4, 9])]
}

/// Planes and columns, odd in every dimension.
fn odd() -> Vec<Shape> {
    vec![first(&[3, 3, 17, 17]), last(&[3, 27, 19])]
}

/// Several blocks to a channel.
fn large(_: usize) -> Vec<Shape> {
    vec![
        first(&[4, 3, 1501]),
        first(&[35, 12, 7, 7]),
        last(&[3, 211, 18]),
        last(&[801, 5]),
    ]
}

fn first(dims: &[usize]) -> Shape {
    Shape::channels_first(dims).expect("a shape that is allowed")
}

fn last(dims: &[usize]) -> Shape {
    Shape::channels_last(dims).expect("a shape that is allowed")
}
