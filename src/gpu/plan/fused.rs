//! Which kernel does a whole pass in one launch, where one does.
//!
//! | a channel's bytes (twice as many backward) | planes | columns |
//! |---|---|---|
//! | fit one block's shared memory, or a cluster's | on chip | on chip |
//! | do not, and the array fits the second-level cache | split | persistent |
//! | do not, nor does the array | ticketed | persistent |
//!
//! On chip and ticketed move the least bytes there are from memory; persistent moves those that neither shared memory
//! nor the cache keeps once more; split moves everything once more, mostly from the cache.

use crate::element::DType;
use crate::gpu::driver::{Attributes, Launch};
use crate::gpu::kernel::{Kernel, Operation};
use crate::gpu::plan::columns::{Group, shared_bytes};
use crate::gpu::plan::split::{BLOCKS_PER_MULTIPROCESSOR, launch, most_tiles};
use crate::gpu::plan::tuning::{Tuning, Way};
use crate::gpu::plan::view::{Family, PACKET_BYTES, View};
use crate::gpu::plan::{Cut, Pass, THREADS, unsigned};

/// Shared memory of a block that is not for packets: what the driver takes for itself, and the kernels' own arrays.
const RESERVED: usize = 2 << 10;
/// A part of a channel smaller than this is not worth another block of a cluster.
const SMALLEST_PART: usize = 8 << 10;
/// Packets of a tile of the ticketed kernels: 32 KB.
const TICKET_TILE: usize = 2048;

/// The pass in one launch; none where split steps are better, or nothing else is possible.
pub fn fused(
    pass: Pass,
    view: &View,
    dtype: DType,
    device: &Attributes,
    tuning: &Tuning,
) -> Option<Cut> {
    let question = Question {
        pass,
        view,
        dtype,
        device,
        tuning,
    };
    question.answer()
}

/// What is asked.
struct Question<'a> {
    pass: Pass,
    view: &'a View,
    dtype: DType,
    device: &'a Attributes,
    tuning: &'a Tuning,
}

impl Question<'_> {
    fn answer(&self) -> Option<Cut> {
        if self.dtype == DType::F64 {
            return None;
        }
        let ways: &[Way] = match (self.tuning.way, self.view.family) {
            (Some(way), _) => &[way],
            (None, Family::Planes) => &[Way::OnChip, Way::Ticketed],
            (None, Family::Columns) => &[Way::OnChip, Way::Persistent],
        };
        ways.iter().find_map(|way| match (way, self.view.family) {
            (Way::OnChip, Family::Planes) => self.planes_on_chip(),
            (Way::OnChip, Family::Columns) => self.columns_on_chip(),
            (Way::Ticketed, Family::Planes) => self.planes_ticketed(),
            (Way::Persistent, Family::Columns) => self.columns_persistent(),
            _ => None,
        })
    }

    /// Bytes of dynamic shared memory that let two blocks, or one, have a multiprocessor.
    fn shared_budgets(&self) -> [usize; 2] {
        let whole = self.device.shared_per_block as usize - RESERVED;
        let half = (self.device.shared_per_multiprocessor as usize / BLOCKS_PER_MULTIPROCESSOR)
            .saturating_sub(RESERVED);
        [half.min(whole), whole]
    }

    /// Clusters that may be asked for, smallest first.
    fn clusters(&self) -> impl Iterator<Item = usize> + use<> {
        let most = self.device.cluster_blocks as usize;
        let only = self.tuning.cluster;
        [1, 2, 4, 8, 16]
            .into_iter()
            .filter(move |&blocks| blocks <= most && only.is_none_or(|only| only == blocks))
    }

    /// Blocks enough to fill the self.device.
    fn full(&self) -> usize {
        BLOCKS_PER_MULTIPROCESSOR * self.device.multiprocessors as usize
    }

    /// The cluster for `units` that each need `bytes(blocks)` of shared memory a block: the smallest with which two blocks
    /// fit a multiprocessor and all multiprocessors have work, or the largest part that is still worth a block; one block a
    /// multiprocessor where two do not fit.
    fn cluster_for(
        &self,
        units: usize,
        unit_bytes: usize,
        shared: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        self.shared_budgets().into_iter().find_map(|budget| {
            let mut best = None;
            for blocks in self.clusters().filter(|&blocks| shared(blocks) <= budget) {
                if best.is_some() && unit_bytes / blocks < SMALLEST_PART {
                    break;
                }
                best = Some(blocks);
                if units * blocks >= self.full() {
                    break;
                }
            }
            best
        })
    }

    /// Whether so few blocks leave so much of the device idle that reading twice with all of it is faster.
    fn leaves_idle(&self, blocks: usize) -> bool {
        self.tuning.way.is_none()
            && blocks * 4 < self.device.multiprocessors as usize
            && self.view.bytes() > 1 << 20
    }

    fn planes_on_chip(&self) -> Option<Cut> {
        let packets = self.view.channel_packets();
        let bytes = |blocks: usize| self.pass.arrays() * packets.div_ceil(blocks) * PACKET_BYTES;
        let cluster = self.cluster_for(self.view.channels, bytes(1), bytes)?;
        let tile = packets.div_ceil(cluster);
        if self.leaves_idle(self.view.channels * cluster) {
            return None;
        }
        let operation = self.pass.of(
            Operation::PlanesOnChipForward,
            Operation::PlanesOnChipBackward,
        );
        // Small parts do with fewer threads, so that more blocks fit.
        let threads = match tile {
            0..=128 => 32,
            129..=512 => 128,
            _ => THREADS,
        };
        Some(Cut {
            launch: Launch {
                threads: unsigned(threads),
                cluster: unsigned(cluster),
                ..launch(
                    Kernel {
                        operation,
                        dtype: self.dtype,
                    },
                    self.view.channels * cluster,
                    bytes(cluster),
                )
            },
            tile,
            tiles: cluster,
            group_channels: 0,
            kept_rows: 0,
        })
    }

    fn columns_on_chip(&self) -> Option<Cut> {
        let operation = self.pass.of(
            Operation::ColumnsOnChipForward,
            Operation::ColumnsOnChipBackward,
        );
        let widths: &[usize] = if self.tuning.columns.is_some() {
            &[0]
        } else {
            &[16, 8]
        };
        widths.iter().find_map(|&width| {
            let group = Group::of(self.view, self.tuning.columns.unwrap_or(width));
            let groups = self.view.channels.div_ceil(group.channels);
            let rows = |blocks: usize| self.view.batch.div_ceil(blocks);
            let shared = |blocks: usize| {
                shared_bytes(
                    self.view,
                    &group,
                    self.pass.arrays() * rows(blocks) * group.packets,
                )
            };
            let bytes = self.pass.arrays() * self.view.batch * group.packets * PACKET_BYTES;
            let cluster = self.cluster_for(groups, bytes, shared)?;
            if self.leaves_idle(groups * cluster) {
                return None;
            }
            Some(Cut {
                launch: Launch {
                    cluster: unsigned(cluster),
                    ..launch(
                        Kernel {
                            operation,
                            dtype: self.dtype,
                        },
                        groups * cluster,
                        shared(cluster),
                    )
                },
                tile: rows(cluster),
                tiles: cluster,
                group_channels: group.channels,
                kept_rows: rows(cluster),
            })
        })
    }

    fn planes_ticketed(&self) -> Option<Cut> {
        // What two passes find in the cache anyway needs no pipeline.
        if self.tuning.way.is_none()
            && self.pass.arrays() * self.view.bytes() <= self.device.l2_bytes as usize / 2
        {
            return None;
        }
        let packets = self.view.channel_packets();
        let most = most_tiles(self.view.channels, 2);
        let tile = TICKET_TILE.max(packets.div_ceil(most).next_multiple_of(THREADS));
        let tiles = packets.div_ceil(tile);
        if tiles > most || 2 * self.view.channels * tiles > u32::MAX as usize / 2 {
            return None;
        }
        let operation = self.pass.of(
            Operation::PlanesTicketedForward,
            Operation::PlanesTicketedBackward,
        );
        // The group that is written and the group that is read share the cache, and what is written passes through it.
        let channel_bytes = self.pass.arrays() * packets * PACKET_BYTES;
        let group = self
            .tuning
            .group
            .unwrap_or(self.device.l2_bytes as usize / 6 / channel_bytes)
            .clamp(1, self.view.channels);
        let blocks = self.full().min(2 * self.view.channels * tiles);
        Some(Cut {
            launch: launch(
                Kernel {
                    operation,
                    dtype: self.dtype,
                },
                blocks,
                0,
            ),
            tile,
            tiles,
            group_channels: group,
            kept_rows: 0,
        })
    }

    fn columns_persistent(&self) -> Option<Cut> {
        let group = Group::of(self.view, self.tuning.columns.unwrap_or(16));
        let groups = self.view.channels.div_ceil(group.channels);
        let parts = (self.full() / groups).min(most_tiles(self.view.channels, 3));
        let rows_at_once = THREADS / group.packets;
        let parts = parts.min(self.view.batch.div_ceil(4 * rows_at_once));
        if !self.device.cooperative || parts == 0 {
            return None;
        }
        let tile = self.view.batch.div_ceil(parts);
        let tiles = self.view.batch.div_ceil(tile);
        let [budget, _] = self.shared_budgets();
        let room = budget.checked_sub(shared_bytes(self.view, &group, 0))?;
        let kept_rows = (room / (self.pass.arrays() * group.packets * PACKET_BYTES)).min(tile);
        let operation = self.pass.of(
            Operation::ColumnsPersistentForward,
            Operation::ColumnsPersistentBackward,
        );
        let shared = shared_bytes(
            self.view,
            &group,
            self.pass.arrays() * kept_rows * group.packets,
        );
        Some(Cut {
            launch: Launch {
                cooperative: true,
                ..launch(
                    Kernel {
                        operation,
                        dtype: self.dtype,
                    },
                    tiles * groups,
                    shared,
                )
            },
            tile,
            tiles,
            group_channels: group.channels,
            kept_rows,
        })
    }
}
