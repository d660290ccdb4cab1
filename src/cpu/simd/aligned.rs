//! Room that begins with a cache line, which is what non-temporal stores need: half a line written past the caches costs as
//! much as a whole one.

#![expect(unsafe_code, reason = "whoever makes one vouches for where it begins")]

use crate::cpu::simd::vector::LANES;

/// What memory moves by, in bytes.
pub(crate) const CACHE_LINE: usize = 64;
/// Bytes of the narrowest values there are.
pub(crate) const NARROWEST_VALUE: usize = 2;

/// Room for `L` times sixteen values where a cache line begins.
pub struct Aligned<'a, T, const L: usize>(&'a mut [[T; LANES]; L]);

impl<'a, T, const L: usize> Aligned<'a, T, L> {
    /// # Safety
    /// It begins where a cache line does.
    #[inline(always)]
    pub(crate) unsafe fn assume(room: &'a mut [[T; LANES]; L]) -> Self {
        Self(room)
    }

    #[inline(always)]
    pub(crate) fn get(self) -> &'a mut [[T; LANES]; L] {
        self.0
    }

    /// Its first `M` times sixteen values.
    #[inline(always)]
    pub(crate) fn line<const M: usize>(self) -> Aligned<'a, T, M> {
        match self.0.first_chunk_mut::<M>() {
            Some(line) => Aligned(line),
            None => unreachable!("a line is written at once"),
        }
    }
}
