//! A pass over planes in one launch.

use crate::gpu::driver::Launch;
use crate::gpu::kernel::Kernel;
use crate::gpu::plan::fused::PlanQuery;
use crate::gpu::plan::split::{launch, most_tiles};
use crate::gpu::plan::view::PACKET_BYTES;
use crate::gpu::plan::{LaunchPlan, THREADS, unsigned};

/// Packets of a tile of the ticketed kernels: 32 KB.
const TICKET_TILE: usize = 2048;

impl PlanQuery<'_> {
    pub(super) fn planes_on_chip(&self, kernel: Kernel) -> Option<LaunchPlan> {
        let packets = self.view.channel_packets();
        let bytes = |blocks: usize| self.pass.arrays() * packets.div_ceil(blocks) * PACKET_BYTES;
        let cluster = self.cluster_for(self.view.channels, bytes(1), bytes)?;
        let tile = packets.div_ceil(cluster);
        if self.leaves_idle(self.view.channels * cluster) {
            return None;
        }
        // Small parts do with fewer threads, so that more blocks fit.
        let threads = match tile {
            0..=128 => 32,
            129..=512 => 128,
            _ => THREADS,
        };
        Some(LaunchPlan {
            launch: Launch {
                threads: unsigned(threads),
                cluster: unsigned(cluster),
                ..launch(kernel, self.view.channels * cluster, bytes(cluster))
            },
            tile,
            tiles: cluster,
            group_channels: 0,
            kept_rows: 0,
        })
    }

    pub(super) fn planes_ticketed(&self, kernel: Kernel) -> Option<LaunchPlan> {
        // What two passes find in the cache anyway needs no pipeline.
        if self.tuning.strategy.is_none()
            && self.pass.arrays() * self.view.bytes() <= self.device.l2_bytes as usize / 2
        {
            return None;
        }
        let packets = self.view.channel_packets();
        let most = most_tiles(self.view.channels, 2 * self.view.channels);
        if most == 0 {
            return None;
        }
        let tile = TICKET_TILE.max(packets.div_ceil(most).next_multiple_of(THREADS));
        let tiles = packets.div_ceil(tile);
        if tiles > most || 2 * self.view.channels * tiles > u32::MAX as usize / 2 {
            return None;
        }
        // The group that is written and the group that is read share the cache, and what is written passes through it.
        let channel_bytes = self.pass.arrays() * packets * PACKET_BYTES;
        let group = self
            .tuning
            .group
            .unwrap_or(self.device.l2_bytes as usize / 6 / channel_bytes)
            .clamp(1, self.view.channels);
        let blocks = self.full().min(2 * self.view.channels * tiles);
        Some(LaunchPlan {
            launch: launch(kernel, blocks, 0),
            tile,
            tiles,
            group_channels: group,
            kept_rows: 0,
        })
    }
}
