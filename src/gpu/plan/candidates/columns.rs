//! Passes over rows of columns in one launch.

use crate::gpu::attributes::Attributes;
use crate::gpu::kernel::{Kernel, Strategy};
use crate::gpu::launch::Launch;
use crate::gpu::plan::candidates::query::{Found, PlanQuery};
use crate::gpu::plan::columns::{ColumnGroup, shared_bytes};
use crate::gpu::plan::descriptor::PACKET_BYTES;
use crate::gpu::plan::launch_plan::{LaunchPlan, launch, unsigned};
use crate::gpu::plan::occupancy::{BLOCKS_PER_MULTIPROCESSOR, MOST_BLOCKS, THREADS};
use crate::gpu::plan::split::most_tiles;

/// Packets of a row of a group of columns, about: 64 bytes to 1 KB.
const WIDTHS: [usize; 5] = [4, 8, 16, 32, 64];

impl PlanQuery<'_> {
    pub(super) fn columns_on_chip(&self, kernel: Kernel, found: &mut Found) {
        for group in self.column_groups() {
            let groups = self.descriptor.channels.div_ceil(group.channels);
            let rows = |blocks: usize| self.descriptor.batch.div_ceil(blocks);
            let shared = |blocks: usize| {
                let kept_packets = self.direction.arrays() * rows(blocks) * group.packets;
                shared_bytes(self.descriptor, &group, kept_packets)
            };
            for cluster in self.clusters(shared) {
                let told = self.tuning.threads;
                let threads = told.unwrap_or_else(|| self.threads(shared(cluster)));
                if groups * cluster > MOST_BLOCKS || threads < group.packets {
                    continue;
                }
                found.push(LaunchPlan {
                    launch: Launch {
                        threads: unsigned(threads),
                        cluster: unsigned(cluster),
                        ..launch(kernel, groups * cluster, shared(cluster))
                    },
                    tile: rows(cluster),
                    tiles: cluster,
                    group_channels: group.channels,
                    kept_rows: rows(cluster),
                    places: 0,
                });
            }
        }
    }

    pub(super) fn columns_persistent(&self, kernel: Kernel, found: &mut Found) {
        if !self.device.cooperative {
            return;
        }
        // As many as this device takes, and as many as that for which every device plans, if those are fewer.
        let reference = BLOCKS_PER_MULTIPROCESSOR * Attributes::REFERENCE.multiprocessors as usize;
        let mut at_once = vec![self.full(), reference.min(self.full())];
        at_once.dedup();
        for group in self.column_groups() {
            for &at_once in &at_once {
                let groups = self.descriptor.channels.div_ceil(group.channels);
                found.extend(self.persistent(kernel, &group, groups, at_once));
            }
        }
    }

    /// What there is no kernel for: blocks that take fewer groups at once, and the others after them, so that each keeps more of its
    /// rows between the passes.
    pub(in crate::gpu::plan) fn columns_in_turn(&self) -> Found {
        let kernel = self.kernel(Strategy::Persistent);
        let mut found = Found::new();
        for group in self.column_groups() {
            let groups = self.descriptor.channels.div_ceil(group.channels);
            let mut at_once: Vec<_> = (2..=groups).map(|turns| groups.div_ceil(turns)).collect();
            at_once.dedup();
            for groups_at_once in at_once {
                found.extend(self.persistent(kernel, &group, groups_at_once, self.full()));
            }
        }
        found
    }

    /// So many blocks at once, of so many groups.
    fn persistent(
        &self,
        kernel: Kernel,
        group: &ColumnGroup,
        groups_at_once: usize,
        at_once: usize,
    ) -> Option<LaunchPlan> {
        let groups = self.descriptor.channels.div_ceil(group.channels);
        let rows_at_once = THREADS / group.packets;
        let parts = (at_once / groups_at_once)
            .min(most_tiles(self.descriptor.channels, 3 * groups))
            .min(self.descriptor.batch.div_ceil(4 * rows_at_once));
        if parts == 0 {
            return None;
        }
        let tile = self.descriptor.batch.div_ceil(parts);
        let tiles = self.descriptor.batch.div_ceil(tile);
        let room = self
            .budgets()
            .half
            .checked_sub(shared_bytes(self.descriptor, group, 0))?;
        let row_packets = self.direction.arrays() * group.packets;
        let kept_rows = (room / (row_packets * PACKET_BYTES)).min(tile);
        let shared = shared_bytes(self.descriptor, group, kept_rows * row_packets);
        Some(LaunchPlan {
            launch: Launch {
                cooperative: true,
                ..launch(kernel, tiles * groups_at_once, shared)
            },
            tile,
            tiles,
            group_channels: group.channels,
            kept_rows,
            places: 0,
        })
    }

    /// Groups of each width, or of the one that is told.
    fn column_groups(&self) -> Vec<ColumnGroup> {
        let mut groups: Vec<ColumnGroup> = match self.tuning.columns {
            Some(told) => vec![ColumnGroup::of(self.descriptor, told)],
            None => WIDTHS
                .map(|width| ColumnGroup::of(self.descriptor, width))
                .to_vec(),
        };
        groups.dedup();
        groups
    }
}
