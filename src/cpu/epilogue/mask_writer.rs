//! Bits of a mask on their way to memory.

use crate::cpu::simd::vector::LANES;

/// Appends bits to `A` spans of a mask, the same number to each.
pub(crate) struct MaskWriter<'m, const A: usize> {
    bytes: [&'m mut [u8]; A],
    /// Bytes written of each.
    written: usize,
    /// Bits that do not fill two bytes yet.
    pending: [u32; A],
    count: usize,
}

impl<'m, const A: usize> MaskWriter<'m, A> {
    #[inline(always)]
    pub(crate) fn new(bytes: [&'m mut [u8]; A]) -> Self {
        Self {
            bytes,
            written: 0,
            pending: [0; A],
            count: 0,
        }
    }

    /// Appends the lowest `count` of the bits, at most sixteen.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "two bytes at a time")]
    pub(crate) fn push(&mut self, bits: [u16; A], count: usize) {
        const { assert!(LANES == u16::BITS as usize && 2 * LANES <= u32::BITS as usize) }
        let all = self.count + count;
        for i in 0..A {
            let new = u32::from(bits[i]) & ((1 << count) - 1);
            self.pending[i] |= new << self.count;
            if all >= LANES {
                let to = &mut self.bytes[i][self.written..self.written + 2];
                to.copy_from_slice(&(self.pending[i] as u16).to_le_bytes());
                self.pending[i] >>= LANES;
            }
        }
        self.count = all % LANES;
        self.written += all / LANES * 2;
    }

    /// Writes what is left.
    #[inline(always)]
    pub(crate) fn flush(self) {
        for (bytes, pending) in self.bytes.into_iter().zip(self.pending) {
            let left = bytes.iter_mut().skip(self.written);
            for (to, byte) in left.zip(pending.to_le_bytes()).take(self.count.div_ceil(8)) {
                *to = byte;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MaskWriter;

    #[test]
    fn bits_follow_one_another_whatever_their_number_at_a_time() {
        let pattern = |i: usize| (i * i + i / 3) % 5 < 2;
        for (head, len) in [
            (0, 64),
            (3, 64),
            (12, 45),
            (15, 16),
            (0, 7),
            (5, 5),
            (8, 31),
        ] {
            let mut bytes = [
                vec![0xaa; usize::div_ceil(len, 8)],
                vec![0xaa; usize::div_ceil(len, 8)],
            ];
            let [first, second] = &mut bytes;
            let mut writer = MaskWriter::new([first.as_mut_slice(), second.as_mut_slice()]);
            let (mut at, mut count) = (0, if head > 0 { head } else { 16.min(len) });
            while at < len {
                // What is above `count` must not matter.
                let bits = (0..16).fold(0, |bits, i| {
                    bits | u16::from(i >= count || pattern(at + i)) << i
                });
                let other = (0..16).fold(0, |bits, i| {
                    bits | u16::from(i < count && !pattern(at + i)) << i
                });
                writer.push([bits, other], count);
                at += count;
                count = 16.min(len - at);
            }
            writer.flush();
            for i in 0..len {
                assert_eq!(
                    bytes[0][i / 8] >> (i % 8) & 1 == 1,
                    pattern(i),
                    "{head} {len} {i}"
                );
                assert_eq!(
                    bytes[1][i / 8] >> (i % 8) & 1 == 1,
                    !pattern(i),
                    "{head} {len} {i}"
                );
            }
        }
    }
}
