//! THE ONLY CHOICE OF LAUNCH: which kernel, how many blocks, how much shared memory, which part of the work to whom.
//!
//! Pure: a shape, a type and a device's numbers in, a launch out. Nothing here knows a driver. Every plan that is right is a
//! candidate (`candidates`), each has a predicted time (`cost`), and `choice` takes one.

pub(crate) mod candidates;
pub(crate) mod choice;
pub(crate) mod columns;
pub mod cost;
pub(crate) mod explanation;
pub(crate) mod split;
#[cfg(test)]
mod tests;
pub(crate) mod tuning;
pub(crate) mod view;

pub use choice::{Considered, Reason, choose};
pub use explanation::Explanation;
pub use split::{Step, step};
pub use tuning::Tuning;
pub use view::{Arrangement, View};

use crate::gpu::arguments::{Arguments, ArrayShape, Partition};
use crate::gpu::driver::{Attributes, Launch};
use crate::gpu::kernel::{Family, Kernel, Operation, Strategy};

/// Threads of a block: `MOST_THREADS` of `kernels/sums.cuh`.
pub(crate) const THREADS: usize = 256;
/// Bytes of x above which every multiprocessor is to have a block.
const BUSY_FROM: usize = 2 << 20;
/// Shared memory of a block that is not for packets: what the driver takes for itself, and the kernels' own arrays.
const RESERVED: usize = 2 << 10;
/// Blocks of a launch that every device takes.
pub(crate) const MOST_BLOCKS: usize = i32::MAX as usize;
/// Channels of which each has its two counters of `kernels/planes_ticketed.cu`, behind those of the whole launch.
pub(crate) const MOST_TICKETED_CHANNELS: usize = split::COUNTERS / 2;

/// Bytes of dynamic shared memory that a block may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedBudgets {
    /// So that two blocks fit a multiprocessor.
    pub half: usize,
    /// So that one does.
    pub whole: usize,
}

impl SharedBudgets {
    pub(crate) fn of(device: &Attributes) -> Self {
        let whole = (device.shared_per_block as usize).saturating_sub(RESERVED);
        let of_two = device.shared_per_multiprocessor as usize / split::BLOCKS_PER_MULTIPROCESSOR;
        let half = of_two.saturating_sub(RESERVED).min(whole);
        Self { half, whole }
    }
}

/// A pass with batch statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pass {
    /// x to y.
    Forward,
    /// dy and x to dx.
    Backward,
}

impl Pass {
    /// Arrays that are read: x, or x and dy.
    fn arrays(self) -> usize {
        match self {
            Pass::Forward => 1,
            Pass::Backward => 2,
        }
    }

    fn operation(self) -> Operation {
        match self {
            Pass::Forward => Operation::Forward,
            Pass::Backward => Operation::Backward,
        }
    }
}

/// A launch, and which part of the array each of its blocks works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// A whole pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// The order in which it adds up.
    pub(crate) fn partition(&self) -> SumPartition {
        let (Self::Whole(sums) | Self::Steps { reduce: sums, .. }) = self;
        let kernel = sums.launch.kernel;
        SumPartition {
            strategy: kernel.strategy,
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
    pub(crate) fn encode(&self, view: &View, arguments: &mut Arguments) {
        arguments.shape = ArrayShape {
            batch: signed(view.batch),
            channels: signed(view.channels),
            spatial: signed(view.spatial),
            packets: signed(view.packets()),
        };
        arguments.partition = Partition {
            tile: signed(self.tile),
            tiles: unsigned(self.tiles),
            group_channels: unsigned(self.group_channels),
            kept_rows: unsigned(self.kept_rows),
        };
    }
}

/// One thread a channel.
pub(crate) fn per_channel(kernel: Kernel, channels: usize) -> Launch {
    split::launch(kernel, channels.div_ceil(THREADS), 0)
}

/// A size as the kernels count: no array has 2^63 values.
pub(crate) fn signed(size: usize) -> i64 {
    i64::try_from(size).expect("a size in memory")
}

/// A count that is far below 2^32: of blocks, threads, tiles, bytes of shared memory.
fn unsigned(count: usize) -> u32 {
    u32::try_from(count).expect("a count that the plan has bounded")
}
