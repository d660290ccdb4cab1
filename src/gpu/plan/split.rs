//! How the separate steps are cut: every tile is a block, and none waits for another.

use crate::element::DType;
use crate::gpu::kernel::{Kernel, Operation, Strategy};
use crate::gpu::plan::columns::{ColumnGroup, shared_bytes};
use crate::gpu::plan::descriptor::{Arrangement, TensorDescriptor};
use crate::gpu::plan::launch_plan::{LaunchPlan, launch};
use crate::gpu::plan::occupancy::{BUSY_FROM, THREADS};
use crate::gpu::workspace::{COUNTER_BYTES, PARTIAL_BYTES};

/// A step that is a launch of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Reduces x.
    Statistics,
    /// x to y.
    Normalize,
    /// Reduces dy.
    BackwardReduce,
    /// dy to dx.
    BackwardInput,
}

impl Step {
    fn operation(self) -> Operation {
        match self {
            Step::Statistics => Operation::Statistics,
            Step::Normalize => Operation::Normalize,
            Step::BackwardReduce => Operation::BackwardReduce,
            Step::BackwardInput => Operation::BackwardInput,
        }
    }

    fn reduces(self) -> bool {
        matches!(self, Step::Statistics | Step::BackwardReduce)
    }
}

/// Blocks that a reduction is cut into, if there is work for them: four waves of the largest GPUs, so that the last one
/// hardly counts. By shape alone, for two GPUs to add up in the same order.
const REDUCING_BLOCKS: usize = 1056;
/// Blocks of a launch over a large array at least: more than any GPU has multiprocessors.
const BUSY_BLOCKS: usize = 192;
/// Terms that a thread adds up in the compute type before a block adds in `f64`: more would cost digits.
pub(super) const LONGEST_CHAIN: usize = 128;
/// Packets or rows that a thread takes at least, so that a block's beginning and end do not count.
const SHORTEST_CHAIN: usize = 4;
/// The same for a thread by columns, which begins with the numbers of each of its columns.
const SHORTEST_COLUMN: usize = 16;

/// Counters of the workspace that are for channels or groups of them: some are left to the launch as a whole.
pub(super) const COUNTERS: usize = (COUNTER_BYTES - 64) / size_of::<u32>();
/// Channels of which each has its two counters of `kernels/planes_items.cuh`, behind those of the whole launch.
pub(crate) const MOST_TICKETED_CHANNELS: usize = COUNTERS / 2;
/// Sums of one tile that the workspace has room for.
const PARTIALS: usize = PARTIAL_BYTES / (2 * size_of::<f64>());

/// The most tiles of a channel that leave every tile a place for its sums, where `counters` are needed for all; none where
/// the workspace has no room for one.
pub(super) fn most_tiles(channels: usize, counters: usize) -> usize {
    if counters > COUNTERS {
        return 0;
    }
    PARTIALS / channels
}

/// The same for the separate steps, which need no workspace for a tile that is alone.
fn most_split_tiles(channels: usize) -> usize {
    most_tiles(channels, channels).max(1)
}

/// A step's launch, the same on every device.
pub fn step(step: Step, descriptor: &TensorDescriptor, dtype: DType) -> LaunchPlan {
    let kernel = Kernel {
        family: descriptor.arrangement.family(),
        strategy: Strategy::Split,
        operation: step.operation(),
        dtype,
    };
    match descriptor.arrangement {
        Arrangement::Planes => {
            let packets = descriptor.channel_packets();
            let tile = tile(
                descriptor,
                packets,
                descriptor.channels,
                THREADS,
                SHORTEST_CHAIN,
                step,
            );
            let tiles = packets.div_ceil(tile);
            LaunchPlan {
                launch: launch(kernel, tiles * descriptor.channels, 0),
                tile,
                tiles,
                group_channels: 0,
                kept_rows: 0,
                places: 0,
            }
        }
        Arrangement::Columns => {
            let group = ColumnGroup::of(descriptor, 16);
            let groups = descriptor.channels.div_ceil(group.channels);
            let rows_at_once = THREADS / group.packets;
            let mut tile = tile(
                descriptor,
                descriptor.batch,
                groups,
                rows_at_once,
                SHORTEST_COLUMN,
                step,
            );
            if step.reduces() {
                let most = most_split_tiles(descriptor.channels);
                tile = tile.max(descriptor.batch.div_ceil(most));
            }
            let tiles = descriptor.batch.div_ceil(tile);
            LaunchPlan {
                launch: launch(kernel, tiles * groups, shared_bytes(descriptor, &group, 0)),
                tile,
                tiles,
                group_channels: group.channels,
                kept_rows: 0,
                places: 0,
            }
        }
    }
}

/// Packets or rows of a tile, of `len` that each of `units` has, `at_once` of which a block takes together.
fn tile(
    descriptor: &TensorDescriptor,
    len: usize,
    units: usize,
    at_once: usize,
    shortest: usize,
    step: Step,
) -> usize {
    let whole = |tiles: usize| len.div_ceil(tiles.max(1)).next_multiple_of(at_once);
    let longest = if descriptor.bytes() > BUSY_FROM {
        whole(BUSY_BLOCKS.div_ceil(units))
    } else {
        whole(1)
    };
    if !step.reduces() {
        return (shortest * at_once).min(longest);
    }
    whole(REDUCING_BLOCKS.div_ceil(units))
        .clamp(shortest * at_once, LONGEST_CHAIN * at_once)
        .min(longest)
        .max(whole(most_split_tiles(units)))
        .min(whole(1))
}
