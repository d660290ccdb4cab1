//! How columns are grouped, and the shared memory that a block needs for its group: `ColumnShared` of
//! `kernels/column_walk.cuh` in numbers.

use crate::gpu::plan::descriptor::{PACKET_BYTES, TensorDescriptor, common_divisor};
use crate::gpu::plan::occupancy::THREADS;

/// Slots of lane sums: `SUM_SLOTS` of `kernels/column_walk.cuh`.
const SUM_SLOTS: usize = 128;
/// Bytes of two `f64` sums: `Sums` of `kernels/sums.cuh`.
const SUMS_BYTES: usize = 16;
/// Numbers of a channel that dx needs, the most of any step: `COEFFICIENTS` of `kernels/column_walk.cuh`.
const MOST_COEFFICIENTS: usize = 7;

/// Neighbouring channels that one block has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ColumnGroup {
    /// How many.
    pub channels: usize,
    /// Packets of a row of them.
    pub packets: usize,
}

impl ColumnGroup {
    /// Of about so many packets: whole channels that end where a packet does, or all of them where rows are joined.
    pub(super) fn of(descriptor: &TensorDescriptor, packets: usize) -> Self {
        let lanes = descriptor.lanes();
        if descriptor.joins_rows() {
            return Self {
                channels: descriptor.channels,
                packets: descriptor.packets(),
            };
        }
        let least = lanes / common_divisor(lanes, descriptor.spatial);
        let least_packets = least * descriptor.spatial / lanes;
        // No wider than a row, and than a block has threads.
        let times = (packets.min(descriptor.packets()) / least_packets).max(1);
        let group = Self {
            channels: times * least,
            packets: times * least_packets,
        };
        debug_assert!(group.packets <= THREADS);
        group
    }
}

/// Bytes of dynamic shared memory of a block that keeps some packets.
pub(super) fn shared_bytes(
    descriptor: &TensorDescriptor,
    group: &ColumnGroup,
    kept_packets: usize,
) -> usize {
    let slots = group.packets.max(SUM_SLOTS);
    let compute_bytes = descriptor.value_bytes.max(size_of::<f32>());
    kept_packets * PACKET_BYTES
        + slots * descriptor.lanes() * SUMS_BYTES
        + group.channels * (SUMS_BYTES + MOST_COEFFICIENTS * compute_bytes)
}
