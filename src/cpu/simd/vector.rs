//! What is done with a vector of values, whatever the instruction set.

/// Values in a vector, at every level and of every type.
pub(crate) const LANES: usize = 16;

/// Values that are computed with together: those of a register, or of as many as hold [`LANES`] of them, or their `f64`.
#[allow(
    unreachable_pub,
    reason = "the bounds of what `Element` is lead here, which Rust 1.89 does not see"
)]
pub trait Vector: Copy {
    /// One value.
    type Scalar: Copy + Default;
    /// The same number of `f64` values.
    type Wide: Vector<Scalar = f64, Wide = Self::Wide>;
    /// How many values there are. A mask has one bit for each, from the lowest on.
    const WIDTH: usize;

    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once where the level has fused multiply-add.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// `max(0, self)`, NaN staying NaN.
    fn relu(self) -> Self;
    /// Bit i is clear where lane i is at most `threshold`'s (so NaN sets it).
    fn compare_mask(self, threshold: Self) -> u16;
    /// The lanes whose bit is set; zero in the others.
    fn mask_and(self, bits: u16) -> Self;
    /// The lanes whose bit is set; those of `other` in the others.
    fn blend(self, bits: u16, other: Self) -> Self;
    /// The values as `f64`.
    fn widen(self) -> Self::Wide;
    /// Writes the values to the first [`Vector::WIDTH`] places.
    fn write(self, to: &mut [Self::Scalar]);
    /// The [`LANES`] values, in order.
    #[inline(always)]
    fn to_array(self) -> [Self::Scalar; LANES] {
        const { assert!(Self::WIDTH == LANES) }
        let mut values = [Self::Scalar::default(); LANES];
        self.write(&mut values);
        values
    }
}
