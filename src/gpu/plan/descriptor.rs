//! How the kernels see an array: as planes of one channel, or as rows of columns that belong to channels.

use crate::element::{DType, match_dtype};
use crate::gpu::kernel::Family;
use crate::shape::{Layout, Shape};

/// Bytes of a plane from which a block walks planes; below, a sample is a row: where `kernels/planes.cuh` takes over from `column_walk.cuh`.
const SMALLEST_PLANE: usize = 512;

/// Bytes of a packet, the most that a thread reads at once: `Width` of `kernels/element.cuh`.
pub(super) const PACKET_BYTES: usize = 16;

/// Packets of joined rows at the most, as of the widest group of columns that is planned: rows that take more are left as they are.
const WIDEST_JOINED: usize = 64;

/// How an array's values lie. (A kernel's [`Family`] may also be of no such array.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arrangement {
    /// N·C planes of S neighbouring values.
    Planes,
    /// N rows of C·S columns, S to a channel: neighbours, or where each row is S joined ones of the array, C columns apart.
    Columns,
}

impl Arrangement {
    pub(super) fn family(self) -> Family {
        match self {
            Self::Planes => Family::Planes,
            Self::Columns => Family::Columns,
        }
    }
}

/// An array as the kernels see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorDescriptor {
    /// Which kernels.
    pub arrangement: Arrangement,
    /// Samples, or rows.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Values of a plane, or columns of a channel.
    pub spatial: usize,
    /// How many of these lie together: all, or one.
    pub neighbours: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
}

impl TensorDescriptor {
    /// That of an array of a shape and type. It depends on nothing else, so that a mask written by one kernel can be
    /// read by any other.
    pub fn of(shape: &Shape, dtype: DType) -> Self {
        let value_bytes = match_dtype!(dtype, DType as T => size_of::<T>());
        let (values, channels) = (shape.values_per_channel(), shape.channels());
        let (batch, spatial) = if channels == 1 {
            (1, values)
        } else if shape.layout() == Layout::ChannelsLast || shape.spatial() == 1 {
            (values, 1)
        } else {
            (shape.batch(), shape.spatial())
        };
        let arrangement = if spatial * value_bytes < SMALLEST_PLANE {
            Arrangement::Columns
        } else {
            Arrangement::Planes
        };
        let described = Self {
            arrangement,
            batch,
            channels,
            spatial,
            neighbours: spatial,
            value_bytes,
        };
        described.with_rows_joined().unwrap_or(described)
    }

    /// The same of which as few rows are one as end where a packet does, if it takes several: each would begin within a packet that the
    /// one before it ends in, and short ones leave most of a packet empty.
    fn with_rows_joined(self) -> Option<Self> {
        if self.arrangement == Arrangement::Planes || self.spatial > 1 {
            return None;
        }
        let rows = self.lanes() / common_divisor(self.lanes(), self.channels);
        let joined = Self {
            batch: self.batch / rows,
            spatial: rows,
            ..self
        };
        let is_whole = self.batch.is_multiple_of(rows) && joined.packets() <= WIDEST_JOINED;
        (rows > 1 && is_whole).then_some(joined)
    }

    /// Whether its rows are several of the array's: then channels are no neighbouring columns, and all are one group.
    pub(super) fn joins_rows(&self) -> bool {
        self.neighbours < self.spatial
    }

    /// No array.
    pub(crate) fn none() -> Self {
        Self {
            arrangement: Arrangement::Columns,
            batch: 0,
            channels: 0,
            spatial: 0,
            neighbours: 0,
            value_bytes: 1,
        }
    }

    /// Values of a packet.
    pub fn lanes(&self) -> usize {
        PACKET_BYTES / self.value_bytes
    }

    /// Packets of a plane (of the one that lies worst) or of a row.
    pub fn packets(&self) -> usize {
        let lanes = self.lanes();
        match self.arrangement {
            Arrangement::Planes if self.spatial.is_multiple_of(lanes) => self.spatial / lanes,
            Arrangement::Planes => (self.spatial + 2 * (lanes - 1)) / lanes,
            Arrangement::Columns => self.row_values().div_ceil(lanes),
        }
    }

    /// Packets of a channel, where it has whole planes.
    pub fn channel_packets(&self) -> usize {
        self.batch * self.packets()
    }

    /// Values of a row.
    pub fn row_values(&self) -> usize {
        self.channels * self.spatial
    }

    /// Bytes of the whole array.
    pub fn bytes(&self) -> usize {
        self.batch * self.row_values() * self.value_bytes
    }

    /// Bytes of a mask: one for each packet.
    pub fn mask_bytes(&self) -> usize {
        match self.arrangement {
            // One more for each plane, where planes share packets.
            Arrangement::Planes => {
                self.batch * self.row_values() / self.lanes() + self.batch * self.channels + 1
            }
            Arrangement::Columns => self.batch * self.packets(),
        }
    }

    /// Whether the packets of an array that begins at a multiple of 16 bytes do so too.
    pub fn keeps_alignment(&self) -> bool {
        self.arrangement == Arrangement::Planes || self.row_values().is_multiple_of(self.lanes())
    }
}

/// The largest divisor of both, where `lanes` is a power of two.
pub(super) fn common_divisor(lanes: usize, count: usize) -> usize {
    lanes.min(1 << count.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(dims: &[usize], layout: Layout, dtype: DType) -> TensorDescriptor {
        TensorDescriptor::of(&Shape::new(dims, layout).unwrap(), dtype)
    }

    #[test]
    fn large_planes_are_planes_and_small_ones_columns() {
        let large = descriptor(&[32, 64, 128], Layout::ChannelsFirst, DType::F32);
        assert_eq!(
            (
                large.arrangement,
                large.batch,
                large.channels,
                large.spatial
            ),
            (Arrangement::Planes, 32, 64, 128)
        );
        let small = descriptor(&[32, 64, 127], Layout::ChannelsFirst, DType::F32);
        assert_eq!(
            (small.arrangement, small.batch, small.spatial),
            (Arrangement::Columns, 32, 127)
        );
        assert_eq!(
            descriptor(&[32, 64, 128], Layout::ChannelsFirst, DType::F16).arrangement,
            Arrangement::Columns
        );
        assert_eq!(
            descriptor(&[32, 64, 256], Layout::ChannelsFirst, DType::F16).arrangement,
            Arrangement::Planes
        );
    }

    #[test]
    fn channels_last_is_columns_of_one() {
        let last = descriptor(&[32, 56, 56, 64], Layout::ChannelsLast, DType::BF16);
        assert_eq!(
            (last.arrangement, last.batch, last.channels, last.spatial),
            (Arrangement::Columns, 32 * 56 * 56, 64, 1)
        );
        assert_eq!(last.packets(), 8);
        let flat = descriptor(&[4096, 1024], Layout::ChannelsFirst, DType::F32);
        assert_eq!(
            (flat.arrangement, flat.batch, flat.spatial),
            (Arrangement::Columns, 4096, 1)
        );
    }

    #[test]
    fn rows_that_end_within_a_packet_are_joined() {
        let of = |dims: &[usize], dtype| {
            let joined = descriptor(dims, Layout::ChannelsLast, dtype);
            (
                joined.batch,
                joined.spatial,
                joined.neighbours,
                joined.packets(),
            )
        };
        // Four values of two channels in 16 bytes of halves, eight of three in 48.
        assert_eq!(of(&[16, 10, 2], DType::F16), (40, 4, 1, 1));
        assert_eq!(of(&[16, 10, 3], DType::F16), (20, 8, 1, 3));
        assert_eq!(of(&[16, 10, 100], DType::F32), (160, 1, 1, 25));
        assert_eq!(of(&[16, 10, 100], DType::F16), (80, 2, 1, 25));
        // Rows that are left over have nobody to join.
        assert_eq!(of(&[3, 7, 2], DType::F16), (21, 1, 1, 1));
        // Too wide: 129 packets.
        assert_eq!(of(&[16, 10, 129], DType::F16), (160, 1, 1, 17));
        // Samples of small planes are no rows of single columns.
        let planes = descriptor(&[8, 3, 31], Layout::ChannelsFirst, DType::F16);
        assert_eq!(
            (planes.batch, planes.spatial, planes.neighbours),
            (8, 31, 31)
        );
    }

    #[test]
    fn one_channel_is_one_plane_in_either_layout() {
        for (dims, layout) in [
            (&[7, 1, 300][..], Layout::ChannelsFirst),
            (&[7, 300, 1], Layout::ChannelsLast),
        ] {
            let one = descriptor(dims, layout, DType::F32);
            assert_eq!(
                (one.arrangement, one.batch, one.spatial),
                (Arrangement::Planes, 1, 2100)
            );
        }
    }

    #[test]
    fn odd_planes_have_a_packet_for_the_worst_place() {
        // 129 values from any of four places: 33 packets from the first two, 33 from place 3 (3 + 129 = 132 = 33·4).
        assert_eq!(
            descriptor(&[2, 3, 129], Layout::ChannelsFirst, DType::F32).packets(),
            33
        );
        // 130 from place 3 end in the 34th.
        assert_eq!(
            descriptor(&[2, 3, 130], Layout::ChannelsFirst, DType::F32).packets(),
            34
        );
        assert_eq!(
            descriptor(&[2, 3, 132], Layout::ChannelsFirst, DType::F32).packets(),
            33
        );
    }

    #[test]
    fn every_packet_of_every_plane_has_a_mask_byte_of_its_own() {
        for (batch, channels, spatial) in [(3, 5, 129), (2, 7, 131), (1, 3, 200), (2, 2, 257)] {
            let descriptor = descriptor(
                &[batch, channels, spatial],
                Layout::ChannelsFirst,
                DType::F32,
            );
            let mut seen = std::collections::HashSet::new();
            for plane in 0..batch * channels {
                let begin = plane * spatial;
                let shift = begin % 4;
                for packet in 0..descriptor.packets() {
                    // As planes.cuh counts: the packets that have lanes.
                    let at = begin - shift + packet * 4;
                    if at < begin + spatial {
                        let first = at.max(begin);
                        let extra = if spatial % 4 == 0 { 0 } else { first / spatial };
                        let place = at / 4 + extra;
                        assert!(
                            seen.insert(place) && place < descriptor.mask_bytes(),
                            "{place} twice or outside"
                        );
                    }
                }
            }
        }
    }
}
