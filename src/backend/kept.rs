//! What of a batch is kept, where not all of it is: sequences of different lengths, places without a value, weights.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::allocate::{collected, filled, zeroed};
use crate::error::{Error, Result};
use crate::shape::{Shape, check_len};

/// Places that a vector of bits may go on for after the last one.
const BEYOND: usize = 16;
/// Bytes after the last bit, so that four can be read wherever one is.
const PADDING: usize = 4;

/// Which places of a batch are kept, and what each weighs: w(n, s) ≥ 0 of every sample n and position s, the same for all channels. It
/// is given to a pass with its input, by [`of`](Self::of).
///
/// With W = Σw over the batch, x̂ = (x − mean)·inv_std, and g = dv where w > 0 and 0 elsewhere,
///
/// ```text
/// mean = Σ w·x / W,   variance = Σ w·(x − mean)² / W
/// y = activation(γ·x̂ + β + residual) where w > 0,   0 elsewhere
/// dβ = Σ g,   dγ = Σ g·x̂,   dx = γ·inv_std·(g − w/W·(dβ + x̂·dγ)) where w > 0,   0 elsewhere
/// ```
///
/// With weights of 0 and 1 that is the batch norm of the places that are kept, alone, and M is their number W. Running variances follow
/// variance·W/(W − 1), as of weights that are frequencies; there is no gradient of the weights. What stands at the other places, in x, the
/// residual and dy, is read by nothing that is computed, be it NaN. A batch with W = 0 is an empty one (and y and dx are zeros), one
/// with 0 < W ≤ 1 has no statistics ([`Error::TooFewValues`]).
///
/// A position is any of the spatial ones: of (N, C, L) and (N, L, C) there are L, of (N, C, H, W) H·W, of (N, C) one. The same value
/// serves every layer whose input has as many samples and positions, whatever its channels and layout. Cloned, it is the same memory.
///
/// ```
/// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Kept, Shape, Tensor};
/// let cpu = Cpu::new();
/// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?;
/// let shape = Shape::channels_first(&[2, 1, 3])?; // N, C, L
/// let nan = f32::NAN; // what follows the shorter one
/// let x = Tensor::new(&cpu, shape, &[1.0, 2.0, 3.0, 6.0, nan, nan])?;
/// let kept = Kept::lengths(&shape, &[3, 1])?;
///
/// let (y, pass) = layer.forward_training(kept.of(&x))?;
/// assert_eq!(pass.statistics()[0].mean().to_vec()?, [3.0]);
/// assert_eq!(y.to_vec()?[4..], [0.0, 0.0]);
/// assert_eq!(pass.backward(&x)?.input.to_vec()?[4..], [0.0, 0.0]);
/// # Ok::<(), batchnorm::Error>(())
/// ```
///
/// Source: the formulas of Ioffe & Szegedy 2015, algorithm 1 and section 3, with sums that are weighted.
#[derive(Clone, PartialEq)]
pub struct Kept(Arc<Places>);

#[derive(PartialEq)]
struct Places {
    samples: usize,
    positions: usize,
    /// One bit a place, in order.
    bits: Vec<u8>,
    /// The same sample by sample, each beginning a byte, and beginning anew after its last place: vectors of several planes, whose
    /// positions begin anew with each, find theirs.
    sample_bits: Vec<u8>,
    weights: Option<Weights>,
    count: usize,
    weight: f64,
}

#[derive(PartialEq)]
struct Weights {
    /// Of each place, as they were given.
    values: Vec<f64>,
    /// A power of two, at most 1, that makes the largest about 1: what else is multiplied by weights stays in range.
    scale: f64,
    /// The sums, on that scale, of all before each place, and of all.
    sums: Vec<f64>,
}

impl Kept {
    /// The places that are `true`, of an input of this shape: one for each position of each sample, (N, S) in this order.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are N·S; when there is no memory.
    pub fn places(shape: &Shape, kept: &[bool]) -> Result<Self> {
        check_len("what is kept", kept.len(), shape.values_per_channel())?;
        Self::new(shape.batch(), shape.spatial(), |i| kept[i], None)
    }

    /// Places that weigh so much, those without weight being left out: one weight for each position of each sample, (N, S) in this order.
    ///
    /// # Errors
    /// [`Error::Length`] unless there are N·S; [`Error::Value`] for one that is negative or not finite, and for a sum that is not finite;
    /// when there is no memory.
    pub fn weights<W: Copy + Into<f64>>(shape: &Shape, weights: &[W]) -> Result<Self> {
        let (samples, positions) = (shape.batch(), shape.spatial());
        check_len("the weights", weights.len(), shape.values_per_channel())?;
        let weights = collected(weights.iter().map(|&weight| weight.into()))?;
        let wrong = |weight: &f64| !(weight.is_finite() && *weight >= 0.0);
        if let Some(at) = weights.iter().position(wrong) {
            return Err(Error::Value {
                what: "a weight",
                found: format!(
                    "{} in sample {}, position {}",
                    weights[at],
                    at / positions,
                    at % positions
                ),
                needed: "finite and not negative",
            });
        }
        let is_kept = collected(weights.iter().map(|&weight| weight > 0.0))?;
        if weights.iter().all(|&weight| weight == 0.0 || weight == 1.0) {
            return Self::new(samples, positions, |i| is_kept[i], None);
        }
        Self::new(samples, positions, |i| is_kept[i], Some(weights))
    }

    /// The first so many positions of each sample, of an input of this shape: sequences, one after the other, that are shorter than the
    /// longest. (Passes read nothing of what follows.)
    ///
    /// # Errors
    /// [`Error::Length`] unless there are N lengths; [`Error::Value`] for one of more positions than there are; when there is no memory.
    pub fn lengths(shape: &Shape, lengths: &[usize]) -> Result<Self> {
        let (samples, positions) = (shape.batch(), shape.spatial());
        check_len("the lengths", lengths.len(), samples)?;
        if let Some(sample) = lengths.iter().position(|&length| length > positions) {
            return Err(Error::Value {
                what: "a length",
                found: format!("{} of sample {sample}", lengths[sample]),
                needed: "at most the number of positions that a sample has",
            });
        }
        let is_kept = |i: usize| i % positions < lengths[i / positions];
        Self::new(samples, positions, is_kept, None)
    }

    /// All positions of so many samples.
    pub(crate) fn all(samples: usize, positions: usize) -> Result<Self> {
        let places = samples * positions;
        let mut bits = zeroed(places.div_ceil(8) + PADDING)?;
        set_first(&mut bits, places);
        let bytes = bytes_of_sample(positions);
        let mut sample_bits = zeroed(samples.saturating_mul(bytes) + PADDING)?;
        for of_sample in sample_bits.chunks_exact_mut(bytes).take(samples) {
            set_first(of_sample, positions + BEYOND);
        }
        Ok(Self(Arc::new(Places {
            samples,
            positions,
            bits,
            sample_bits,
            weights: None,
            count: places,
            weight: places as f64,
        })))
    }

    fn new(
        samples: usize,
        positions: usize,
        is_kept: impl Fn(usize) -> bool,
        weights: Option<Vec<f64>>,
    ) -> Result<Self> {
        let places = samples * positions;
        let mut bits = zeroed::<u8>(places.div_ceil(8) + PADDING)?;
        let bytes = bytes_of_sample(positions);
        let mut sample_bits = zeroed::<u8>(samples.saturating_mul(bytes) + PADDING)?;
        let mut count = 0;
        for sample in 0..samples {
            let of_sample = &mut sample_bits[sample * bytes..][..bytes];
            for position in 0..positions {
                let place = sample * positions + position;
                if is_kept(place) {
                    count += 1;
                    bits[place / 8] |= 1 << (place % 8);
                    of_sample[position / 8] |= 1 << (position % 8);
                }
            }
            for position in positions..positions + BEYOND {
                let earlier = position - positions;
                let bit = of_sample[earlier / 8] >> (earlier % 8) & 1;
                of_sample[position / 8] |= bit << (position % 8);
            }
        }
        let (weight, weights) = match weights {
            Some(weights) => {
                let weight = weights.iter().sum::<f64>();
                if !weight.is_finite() {
                    return Err(Error::Value {
                        what: "the sum of all weights",
                        found: weight.to_string(),
                        needed: "finite",
                    });
                }
                (weight, Some(Weights::of(weights)?))
            }
            None => (count as f64, None),
        };
        Ok(Self(Arc::new(Places {
            samples,
            positions,
            bits,
            sample_bits,
            weights,
            count,
            weight,
        })))
    }

    /// N, the number of samples.
    pub fn samples(&self) -> usize {
        self.0.samples
    }

    /// S, the number of positions of a sample.
    pub fn positions(&self) -> usize {
        self.0.positions
    }

    /// How many places are kept.
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// W, what all of them weigh.
    pub fn weight(&self) -> f64 {
        self.0.weight
    }

    /// Those of some samples.
    pub(crate) fn of_samples(&self, samples: Range<usize>) -> Result<Self> {
        let positions = self.0.positions;
        let places = samples.start * positions..samples.end * positions;
        let weights = match &self.0.weights {
            Some(weights) => Some(collected(weights.values[places.clone()].iter().copied())?),
            None => None,
        };
        let is_kept = |i: usize| self.is_kept(places.start + i);
        Self::new(samples.len(), positions, is_kept, weights)
    }

    fn is_kept(&self, place: usize) -> bool {
        self.0.bits[place / 8] >> (place % 8) & 1 == 1
    }

    /// That it belongs to an input of this shape.
    pub(crate) fn check(&self, shape: &Shape) -> Result<()> {
        if (self.samples(), self.positions()) == (shape.batch(), shape.spatial()) {
            return Ok(());
        }
        Err(Error::ShapeMismatch {
            what: "what is kept",
            found: format!(
                "of {} samples of {} positions",
                self.samples(),
                self.positions()
            ),
            needed: shape.to_string(),
        })
    }

    /// That batch statistics can be taken of it: it weighs more than one, or nothing, as an empty batch.
    pub(crate) fn check_batch_statistics(&self, shape: &Shape) -> Result<()> {
        if self.count() == 0 || self.weight() > 1.0 {
            return Ok(());
        }
        Err(Error::TooFewValues {
            found: usize::from(self.weight() == 1.0),
            shape: format!("{shape}, of which is kept what weighs {}", self.weight()),
        })
    }

    /// One bit for each place, in order, and so many bytes more that four can be read wherever one is.
    pub(crate) fn bits(&self) -> &[u8] {
        &self.0.bits
    }

    /// One bit for each position of each sample, which begins a byte and is repeated for a vector after its last position.
    pub(crate) fn sample_bits(&self) -> &[u8] {
        &self.0.sample_bits
    }

    /// What each place weighs, and the scale on which to take that; none where all that are kept weigh one.
    pub(crate) fn weights_and_scale(&self) -> Option<(&[f64], f64)> {
        let weights = self.0.weights.as_ref();
        weights.map(|weights| (&weights.values[..], weights.scale))
    }

    /// Whether all places are kept.
    pub(crate) fn is_all(&self) -> bool {
        self.0.count == self.0.samples * self.0.positions
    }

    /// How many of these places are kept.
    pub(crate) fn count_of(&self, places: Range<usize>) -> usize {
        let bits = &self.0.bits;
        if places == (0..self.0.samples * self.0.positions) {
            return self.0.count;
        }
        let (first, last) = (places.start / 8, places.end / 8);
        let in_byte =
            |place: usize| (bits[place / 8] & ((1 << (place % 8)) - 1)).count_ones() as usize;
        let (words, bytes) = bits[first..last].as_chunks();
        let mut count = in_byte(places.end);
        for word in words {
            count += u64::from_le_bytes(*word).count_ones() as usize;
        }
        for byte in bytes {
            count += byte.count_ones() as usize;
        }
        count - in_byte(places.start)
    }

    /// What these places weigh, as the scale of the weights has it.
    pub(crate) fn scaled_weight_of(&self, places: Range<usize>) -> f64 {
        match &self.0.weights {
            Some(weights) => weights.sums[places.end] - weights.sums[places.start],
            None => self.count_of(places) as f64,
        }
    }

    /// The first of these places that is kept.
    pub(crate) fn first_of(&self, places: Range<usize>) -> Option<usize> {
        let mut at = places.start;
        while at < places.end {
            let rest = self.0.bits[at / 8] >> (at % 8);
            if rest == 0 {
                at = (at / 8 + 1) * 8;
            } else {
                at += rest.trailing_zeros() as usize;
                return (at < places.end).then_some(at);
            }
        }
        None
    }

    /// Where the places that are kept from the first of these on end: a place that is not kept, or the end of these.
    pub(crate) fn end_of_run(&self, places: Range<usize>) -> usize {
        let mut at = places.start;
        while at < places.end {
            let left_out = !self.0.bits[at / 8] >> (at % 8);
            if left_out != 0 {
                at += left_out.trailing_zeros() as usize;
                break;
            }
            at = (at / 8 + 1) * 8;
        }
        at.min(places.end)
    }
}

impl Weights {
    fn of(values: Vec<f64>) -> Result<Self> {
        let largest = values.iter().fold(1.0, |a: f64, &b| a.max(b));
        let exponent = largest.to_bits() >> 52;
        let scale = f64::from_bits((2 * 1023 - exponent).max(1) << 52);
        let mut sums = filled(values.len() + 1, 0.0)?;
        for (i, value) in values.iter().enumerate() {
            sums[i + 1] = sums[i] + value * scale;
        }
        Ok(Self {
            values,
            scale,
            sums,
        })
    }
}

/// Sets the first so many bits.
fn set_first(bits: &mut [u8], count: usize) {
    bits[..count / 8].fill(u8::MAX);
    if !count.is_multiple_of(8) {
        bits[count / 8] |= (1 << (count % 8)) - 1;
    }
}

/// How many bytes the bits of a sample take.
pub(crate) fn bytes_of_sample(positions: usize) -> usize {
    (positions + BEYOND).div_ceil(8)
}

/// How much is kept.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Places {
            samples,
            positions,
            count,
            weight,
            ..
        } = &*self.0;
        let places = samples * positions;
        write!(f, "Kept({count} of {places} places, which weigh {weight})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(samples: usize, positions: usize) -> Shape {
        Shape::channels_first(&[samples, 3, positions]).unwrap()
    }

    #[test]
    fn bits_are_where_they_are_looked_for() {
        for (samples, positions) in [(1, 1), (3, 5), (2, 16), (7, 37), (4, 100)] {
            let pattern = |i: usize| i * i % 7 < 3;
            let places: Vec<bool> = (0..samples * positions).map(pattern).collect();
            let kept = Kept::places(&shape(samples, positions), &places).unwrap();
            let bit = |bytes: &[u8], i: usize| bytes[i / 8] >> (i % 8) & 1 == 1;
            for n in 0..samples {
                for s in 0..positions + BEYOND {
                    let at = 8 * n * bytes_of_sample(positions) + s;
                    let expected = places[n * positions + s % positions];
                    assert_eq!(bit(kept.sample_bits(), at), expected);
                }
            }
            for start in 0..=places.len() {
                for end in start..=places.len() {
                    let of_range = &places[start..end];
                    let count = of_range.iter().filter(|&&is| is).count();
                    assert_eq!(kept.count_of(start..end), count);
                    let first = of_range.iter().position(|&is| is).map(|at| start + at);
                    assert_eq!(kept.first_of(start..end), first);
                    let run = of_range.iter().take_while(|&&is| is).count();
                    assert_eq!(kept.end_of_run(start..end), start + run);
                }
            }
            assert_eq!(kept.weight(), kept.count() as f64);
            let part = kept.of_samples(samples / 2..samples).unwrap();
            let of_part = &places[samples / 2 * positions..];
            assert_eq!(
                part,
                Kept::places(&shape(samples - samples / 2, positions), of_part).unwrap()
            );
        }
    }

    #[test]
    fn all_is_what_every_place_makes() {
        for (samples, positions) in [(1, 1), (3, 5), (2, 16), (7, 37), (0, 4)] {
            let all = Kept::all(samples, positions).unwrap();
            let of_each = Kept::new(samples, positions, |_| true, None).unwrap();
            assert!(all == of_each && all.is_all());
        }
    }

    #[test]
    fn weights_are_about_one_on_their_scale() {
        for largest in [0.3, 1.0, 1.5, 2.0, 1e30, 1e300, f64::MAX / 4.0] {
            let kept = Kept::weights(&shape(1, 3), &[largest, 0.0, largest / 2.0]).unwrap();
            let (values, scale) = kept.weights_and_scale().unwrap();
            assert!(values[0] * scale <= 4.0 && (largest < 1.0 || values[0] * scale >= 0.5));
            assert_eq!(kept.scaled_weight_of(0..3) / scale, kept.weight());
            assert_eq!((kept.count(), kept.scaled_weight_of(1..2)), (2, 0.0));
        }
    }

    #[test]
    fn what_cannot_be_a_weight_or_a_length_is_refused_with_its_place() {
        let shape = shape(2, 3);
        for wrong in [f32::NAN, -0.5, f32::INFINITY] {
            let error = Kept::weights(&shape, &[1.0, 1.0, 1.0, 1.0, wrong, 1.0]).unwrap_err();
            let message = error.to_string();
            assert!(message.contains("sample 1, position 1"), "{message}");
            assert!(message.contains(&wrong.to_string()), "{message}");
        }
        let message = Kept::lengths(&shape, &[3, 4]).unwrap_err().to_string();
        assert!(message.contains("4 of sample 1"), "{message}");
        let found = |result: Result<Kept>| match result {
            Err(Error::Length { found, needed, .. }) => (found, needed),
            other => panic!("{other:?}"),
        };
        assert_eq!(found(Kept::lengths(&shape, &[3])), (1, 2));
        assert_eq!(found(Kept::places(&shape, &[true; 5])), (5, 6));
        assert_eq!(found(Kept::weights(&shape, &[1.0; 7])), (7, 6));
        let error = Kept::weights(&shape, &[f64::MAX; 6]).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{error}");
    }

    #[test]
    fn lengths_keep_the_first_positions() {
        let kept = Kept::lengths(&shape(3, 4), &[4, 0, 1]).unwrap();
        let places = [
            true, true, true, true, false, false, false, false, true, false, false, false,
        ];
        assert_eq!(kept, Kept::places(&shape(3, 4), &places).unwrap());
        let ones = [
            1.0f32, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0,
        ];
        assert_eq!(kept, Kept::weights(&shape(3, 4), &ones).unwrap());
    }
}
