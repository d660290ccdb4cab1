//! Which lanes of a vector count, where it is filled in part.

use crate::cpu::simd::vector::LANES;

/// One bit a lane, as the comparisons and selections of a vector take them.
const _: () = assert!(LANES == u16::BITS as usize);

/// A mask of the lanes from one to the one before another.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "one bit for each of sixteen lanes"
)]
pub(crate) fn lane_mask(from: usize, to: usize) -> u16 {
    debug_assert!(from <= to && to <= LANES);
    ((1u32 << to) - (1 << from)) as u16
}
