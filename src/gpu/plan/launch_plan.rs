//! A plan as it is made: a launch and which part of the array each of its blocks works on, and a pass as one or two of them.

use std::iter;

use crate::gpu::arguments::{Arguments, ArrayShape, Partition};
use crate::gpu::kernel::{Family, Kernel, Operation, Strategy};
use crate::gpu::launch::Launch;
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::gpu::plan::occupancy::THREADS;

/// Which way a pass with batch statistics goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// x to y.
    Forward,
    /// dy and x to dx.
    Backward,
}

impl Direction {
    /// Arrays that are read: x, or x and dy.
    pub(super) fn arrays(self) -> usize {
        match self {
            Direction::Forward => 1,
            Direction::Backward => 2,
        }
    }

    pub(super) fn operation(self) -> Operation {
        match self {
            Direction::Forward => Operation::Forward,
            Direction::Backward => Operation::Backward,
        }
    }
}

/// A launch, and which part of the array each of its blocks works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaunchPlan {
    /// The launch.
    pub launch: Launch,
    /// Packets of a channel, or rows, of a tile.
    pub tile: usize,
    /// Tiles of a channel, or of a group of columns.
    pub tiles: usize,
    /// Channels of a block by columns, or of a group of tickets.
    pub group_channels: usize,
    /// Rows that a block keeps in shared memory.
    pub kept_rows: usize,
    /// Tiles that a block has in shared memory or on their way there, where it takes one after the other.
    pub places: usize,
}

/// A whole pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassPlan {
    /// In one launch.
    Whole(LaunchPlan),
    /// In two, one after the other.
    Steps {
        /// The channels' sums.
        reduce: LaunchPlan,
        /// y, or dx.
        write: LaunchPlan,
    },
}

/// All that decides in which order a channel's values are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SumPartition {
    strategy: Strategy,
    threads: u32,
    tile: usize,
    tiles: usize,
    /// Of a group of columns: how many rows a block walks together follows from it.
    group_channels: usize,
}

impl PassPlan {
    /// What is launched, in this order.
    pub fn launches(&self) -> impl Iterator<Item = &LaunchPlan> {
        let (first, second) = match self {
            Self::Whole(whole) => (whole, None),
            Self::Steps { reduce, write } => (reduce, Some(write)),
        };
        iter::once(first).chain(second)
    }

    /// The order in which it adds up.
    pub(crate) fn partition(&self) -> SumPartition {
        let (Self::Whole(sums) | Self::Steps { reduce: sums, .. }) = self;
        let kernel = sums.launch.kernel;
        SumPartition {
            strategy: match kernel.strategy {
                // What is on its way meanwhile changes no sum.
                Strategy::Pipelined => Strategy::Ticketed,
                other => other,
            },
            threads: sums.launch.threads,
            tile: sums.tile,
            tiles: sums.tiles,
            group_channels: match kernel.family {
                Family::Columns => sums.group_channels,
                _ => 0,
            },
        }
    }
}

impl LaunchPlan {
    /// Writes the array's shape and its partition into a kernel's arguments.
    pub(crate) fn encode(&self, descriptor: &TensorDescriptor, arguments: &mut Arguments) {
        arguments.shape = ArrayShape {
            batch: signed(descriptor.batch),
            channels: signed(descriptor.channels),
            spatial: signed(descriptor.spatial),
            packets: signed(descriptor.packets()),
            neighbours: signed(descriptor.neighbours),
        };
        arguments.partition = Partition {
            tile: signed(self.tile),
            tiles: unsigned(self.tiles),
            group_channels: unsigned(self.group_channels),
            kept_rows: unsigned(self.kept_rows),
            places: unsigned(self.places),
        };
    }
}

/// Blocks of the most threads, which wait for no other.
pub(super) fn launch(kernel: Kernel, blocks: usize, shared_bytes: usize) -> Launch {
    Launch {
        kernel,
        blocks: unsigned(blocks),
        threads: unsigned(THREADS),
        cluster: 1,
        shared_bytes: unsigned(shared_bytes),
        cooperative: false,
    }
}

/// One thread a channel.
pub(crate) fn per_channel(kernel: Kernel, channels: usize) -> Launch {
    launch(kernel, channels.div_ceil(THREADS), 0)
}

/// A size as the kernels count: no array has 2^63 values.
pub(crate) fn signed(size: usize) -> i64 {
    i64::try_from(size).expect("a size in memory")
}

/// A count that is far below 2^32: of blocks, threads, tiles, bytes of shared memory.
pub(super) fn unsigned(count: usize) -> u32 {
    u32::try_from(count).expect("a count that the plan has bounded")
}
