//! A pass over rows of columns in one launch.

use crate::gpu::driver::Launch;
use crate::gpu::kernel::Kernel;
use crate::gpu::plan::columns::{Group, shared_bytes};
use crate::gpu::plan::fused::PlanQuery;
use crate::gpu::plan::split::{launch, most_tiles};
use crate::gpu::plan::view::PACKET_BYTES;
use crate::gpu::plan::{LaunchPlan, THREADS, unsigned};

impl PlanQuery<'_> {
    pub(super) fn columns_on_chip(&self, kernel: Kernel) -> Option<LaunchPlan> {
        let widths: &[usize] = if self.tuning.columns.is_some() {
            &[0]
        } else {
            &[16, 8]
        };
        widths.iter().find_map(|&width| {
            let group = Group::of(self.view, self.tuning.columns.unwrap_or(width));
            let groups = self.view.channels.div_ceil(group.channels);
            let rows = |blocks: usize| self.view.batch.div_ceil(blocks);
            let kept_packets = |rows: usize| self.pass.arrays() * rows * group.packets;
            let shared =
                |blocks: usize| shared_bytes(self.view, &group, kept_packets(rows(blocks)));
            let bytes = kept_packets(self.view.batch) * PACKET_BYTES;
            let cluster = self.cluster_for(groups, bytes, shared)?;
            if self.leaves_idle(groups * cluster) {
                return None;
            }
            Some(LaunchPlan {
                launch: Launch {
                    cluster: unsigned(cluster),
                    ..launch(kernel, groups * cluster, shared(cluster))
                },
                tile: rows(cluster),
                tiles: cluster,
                group_channels: group.channels,
                kept_rows: rows(cluster),
            })
        })
    }

    pub(super) fn columns_persistent(&self, kernel: Kernel) -> Option<LaunchPlan> {
        let group = Group::of(self.view, self.tuning.columns.unwrap_or(16));
        let groups = self.view.channels.div_ceil(group.channels);
        let parts = (self.full() / groups).min(most_tiles(self.view.channels, 3 * groups));
        let rows_at_once = THREADS / group.packets;
        let parts = parts.min(self.view.batch.div_ceil(4 * rows_at_once));
        if !self.device.cooperative || parts == 0 {
            return None;
        }
        let tile = self.view.batch.div_ceil(parts);
        let tiles = self.view.batch.div_ceil(tile);
        let [budget, _] = self.shared_budgets();
        let room = budget.checked_sub(shared_bytes(self.view, &group, 0))?;
        let row_packets = self.pass.arrays() * group.packets;
        let kept_rows = (room / (row_packets * PACKET_BYTES)).min(tile);
        let shared = shared_bytes(self.view, &group, kept_rows * row_packets);
        Some(LaunchPlan {
            launch: Launch {
                cooperative: true,
                ..launch(kernel, tiles * groups, shared)
            },
            tile,
            tiles,
            group_channels: group.channels,
            kept_rows,
        })
    }
}
