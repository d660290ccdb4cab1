//! Passes over planes in one launch.

use crate::gpu::kernel::Kernel;
use crate::gpu::launch::Launch;
use crate::gpu::plan::candidates::query::{Found, PlanQuery};
use crate::gpu::plan::descriptor::PACKET_BYTES;
use crate::gpu::plan::launch_plan::{LaunchPlan, launch, unsigned};
use crate::gpu::plan::occupancy::{MOST_BLOCKS, THREADS};
use crate::gpu::plan::split::{LONGEST_CHAIN, most_tiles};
use crate::gpu::plan::tuning::BLOCKS_OF_THREADS;

/// Packets of a tile of the ticketed kernels: 32 KB and 64 KB.
const TICKET_TILES: [usize; 2] = [2048, 4096];
/// Packets of a tile of the pipelined kernels: 8 KB to 32 KB of each array.
const PIPELINED_TILES: [usize; 3] = [512, 1024, 2048];
/// Tiles of a block of theirs: one that is worked on, and one or two on their way. `MOST_PLACES` of `kernels/planes_pipelined.cu` is
/// the last.
const PLACES: [usize; 2] = [2, 3];
/// The first devices that copy to shared memory while threads do something else.
const ASYNCHRONOUS_COPIES_FROM: u32 = 80;
/// A thread has at least so many packets, or there are fewer threads.
const SHORTEST_CHAIN: usize = 2;

impl PlanQuery<'_> {
    pub(super) fn planes_on_chip(&self, kernel: Kernel, found: &mut Found) {
        let packets = self.descriptor.channel_packets();
        let shared =
            |blocks: usize| self.direction.arrays() * packets.div_ceil(blocks) * PACKET_BYTES;
        for cluster in self.clusters(shared) {
            let (tile, blocks) = (
                packets.div_ceil(cluster),
                self.descriptor.channels * cluster,
            );
            if blocks > MOST_BLOCKS {
                continue;
            }
            let most = self.threads(shared(cluster));
            let fewest = if most == THREADS {
                BLOCKS_OF_THREADS[0]
            } else {
                most
            };
            for threads in BLOCKS_OF_THREADS {
                let told = self.tuning.threads.is_some_and(|only| only == threads);
                let is_long_enough = threads == fewest || SHORTEST_CHAIN * threads <= tile;
                let is_short_enough = threads == most || tile <= LONGEST_CHAIN * threads;
                let sensible =
                    (fewest..=most).contains(&threads) && is_long_enough && is_short_enough;
                if !told && (self.tuning.threads.is_some() || !sensible) {
                    continue;
                }
                found.push(LaunchPlan {
                    launch: Launch {
                        threads: unsigned(threads),
                        cluster: unsigned(cluster),
                        ..launch(kernel, blocks, shared(cluster))
                    },
                    tile,
                    tiles: cluster,
                    group_channels: 0,
                    kept_rows: 0,
                    places: 0,
                });
            }
        }
    }

    pub(super) fn planes_ticketed(&self, kernel: Kernel, found: &mut Found) {
        self.in_items(kernel, &TICKET_TILES, 0, found);
    }

    pub(super) fn planes_pipelined(&self, kernel: Kernel, found: &mut Found) {
        if self.device.architecture < ASYNCHRONOUS_COPIES_FROM {
            return;
        }
        let is_allowed = |places: &usize| self.tuning.places.is_none_or(|only| only == *places);
        for places in PLACES.into_iter().filter(is_allowed) {
            self.in_items(kernel, &PIPELINED_TILES, places, found);
        }
    }

    /// Launches whose blocks take tiles in one order, for each length of them in packets, with so many places for them in shared memory.
    fn in_items(&self, kernel: Kernel, lengths: &[usize], places: usize, found: &mut Found) {
        let packets = self.descriptor.channel_packets();
        let most = most_tiles(self.descriptor.channels, 2 * self.descriptor.channels);
        if most == 0 {
            return;
        }
        let told = self.tuning.tile.as_ref().map(std::slice::from_ref);
        for &length in told.unwrap_or(lengths) {
            let tile = length.max(packets.div_ceil(most).next_multiple_of(THREADS));
            let tiles = packets.div_ceil(tile);
            let numbers = 2 * self.descriptor.channels * tiles;
            let shared = places * self.direction.arrays() * tile * PACKET_BYTES;
            let fits = shared <= self.budgets().half;
            if tiles > most || numbers > u32::MAX as usize / 2 || !fits {
                continue;
            }
            for group_channels in self.groups(packets) {
                found.push(LaunchPlan {
                    launch: launch(kernel, self.full().min(numbers), shared),
                    tile,
                    tiles,
                    group_channels,
                    kept_rows: 0,
                    places,
                });
            }
        }
    }

    /// How many channels may be in flight: as many as leave room in the cache for those that are written and what is
    /// written, fewer, or more, which fill the device where channels are few.
    fn groups(&self, channel_packets: usize) -> Vec<usize> {
        let channel_bytes = self.direction.arrays() * channel_packets * PACKET_BYTES;
        let sixth = self.device.l2_bytes as usize / 6 / channel_bytes.max(1);
        let mut groups = match self.tuning.group {
            Some(told) => vec![told],
            None => vec![sixth / 2, sixth, 2 * sixth, 4 * sixth],
        };
        for group in &mut groups {
            *group = (*group).clamp(1, self.descriptor.channels);
        }
        groups.dedup();
        groups
    }
}
