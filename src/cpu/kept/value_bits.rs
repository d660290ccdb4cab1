//! One bit for each value, where neighbours are of the channels of a place: what a vector would else bring together from the bits of its
//! places takes longer than the vector.

use crate::backend::kept::Kept;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::simd::vector::LANES;

/// As many bits for each place as it has channels, and a vector's bytes more.
pub(crate) fn value_bits(kept: &Kept, channels: usize) -> Scratch<u8> {
    let places = kept.samples() * kept.positions();
    if channels < LANES {
        return of_few_channels(kept.bits(), channels);
    }
    let mut bits = Scratch::zeros((places * channels).div_ceil(8) + LANES);
    let mut at = 0;
    while let Some(first) = kept.first_of(at..places) {
        at = kept.end_of_run(first..places);
        set(&mut bits, first * channels, at * channels);
    }
    bits
}

/// Sets the bits from one to the one before another.
fn set(bits: &mut [u8], from: usize, to: usize) {
    let (first, last) = (from / 8, to / 8);
    let (of_first, of_last) = (u8::MAX << (from % 8), !(u8::MAX << (to % 8)));
    if first == last {
        bits[first] |= of_first & of_last;
        return;
    }
    bits[first] |= of_first;
    bits[first + 1..last].fill(u8::MAX);
    bits[last] |= of_last;
}

/// Of fewer than a vector has lanes: eight places at a time.
fn of_few_channels(places: &[u8], channels: usize) -> Scratch<u8> {
    let table = of_bytes(channels);
    let mut bits = Scratch::of_len(places.len() * channels + LANES);
    for (i, &byte) in places.iter().enumerate() {
        // The bits of eight places are `channels` bytes. What is written beyond is written over by what follows.
        if let Some(bits) = bits[i * channels..].first_chunk_mut::<LANES>() {
            *bits = table[usize::from(byte)].to_le_bytes();
        }
    }
    bits
}

/// Of each byte's bits as many copies as a place has channels.
fn of_bytes(channels: usize) -> [u128; 256] {
    assert!(channels < LANES);
    let of_place = (1 << channels) - 1;
    let mut table = [0; 256];
    for byte in 1..table.len() {
        let lowest = byte.trailing_zeros() as usize;
        table[byte] = table[byte & (byte - 1)] | of_place << (channels * lowest);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Shape;

    #[test]
    fn each_value_has_the_bit_of_its_place() {
        for channels in [1, 2, 3, 7, 8, 15, 16, 17, 24, 31, 64, 65] {
            for divisor in [1, 2, 3, 5, 11] {
                let shape = Shape::channels_last(&[3, 37, channels]).unwrap();
                let is_kept: Vec<bool> = (0..3 * 37).map(|i| i * i % divisor < 3).collect();
                let kept = Kept::places(&shape, &is_kept).unwrap();
                let bits = value_bits(&kept, channels);
                assert!(bits.len() >= shape.len() / 8 + 4);
                for at in 0..shape.len() {
                    let bit = bits[at / 8] >> (at % 8) & 1 == 1;
                    assert_eq!(bit, is_kept[at / channels], "{channels}: {at}");
                }
            }
        }
    }
}
