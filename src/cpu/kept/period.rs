//! How often something fits in what comes before a place: asked for every vector, where a division takes longer than the vector.

/// A length that is divided by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    len: usize,
    /// Of 2⁶⁴ − 1, rounded down.
    reciprocal: u64,
}

impl Period {
    /// Of so many places, at least one.
    pub(crate) fn of(len: usize) -> Self {
        let len = len.max(1);
        Self {
            len,
            reciprocal: u64::MAX / len as u64,
        }
    }

    /// So many places.
    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// How many whole periods are before a place, and how far within one it is.
    #[inline(always)]
    pub(crate) fn divide(self, place: usize) -> (usize, usize) {
        if place >= u32::MAX as usize {
            return (place / self.len, place % self.len);
        }
        let whole = self.whole(place);
        (whole, place - whole * self.len)
    }

    /// How far within a period a place is: in the first one, or less than 2⁵⁴ places after it where periods have at most 1024.
    #[inline(always)]
    pub(crate) fn within(self, place: usize) -> usize {
        place - self.whole(place) * self.len
    }

    /// Of n and d the quotient is ⌊(n + 1)·⌊(2⁶⁴ − 1)/d⌋/2⁶⁴⌋, where n < d or (n + 1)·d ≤ 2⁶⁴: the product is below (n + 1)/d, by at most
    /// (n + 1)/2⁶⁴, which is no more than the 1/d by which (n + 1)/d, where it is no integer, is above one; and where it is one, the
    /// quotient is one less.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a quotient is no larger than what is divided"
    )]
    fn whole(self, place: usize) -> usize {
        (((place as u128 + 1) * u128::from(self.reciprocal)) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_and_remainders_are_those_of_a_division() {
        let most = u32::MAX as usize;
        for len in [1, 2, 3, 7, 49, 64, 1000, 3136, 65_537, most - 1, most] {
            let period = Period::of(len);
            assert_eq!(period.len(), len);
            let near = |place: usize| place.saturating_sub(2)..=place.saturating_add(2);
            let multiples = [1, 2, 3, most / len / 2, most / len];
            let multiples = multiples.map(|times| times.saturating_mul(len));
            for place in [0, most].into_iter().chain(multiples).flat_map(near) {
                assert_eq!(period.divide(place), (place / len, place % len));
                if place < len || len <= 1024 {
                    assert_eq!(period.within(place), place % len);
                }
            }
        }
    }
}
