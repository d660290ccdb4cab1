//! The gradient sums of many batches, or of parts of one, together.

use std::fmt;

use crate::allocate::{collected, filled, reserved};
use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::backend::operands::{GradientSums, GradientSumsMut};
use crate::cpu::simd::dispatch::Dispatch;
use crate::cpu::simd::{Kernel, Simd};
use crate::element::Compute;
use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;
use crate::shape::check_len;
use crate::statistics::exact_sum::{CHANNELS_AT_ONCE, OfChannels, exact_sums, loaded};
use crate::statistics::merge::total_count;

/// dγ = Σ dv·x̂ and dβ = Σ dv of each channel over many parts of a batch, in `f64`: each sum is rounded once, so that what is merged
/// together has the same bits in any order.
#[derive(Clone)]
pub struct PooledGradients {
    gamma: Vec<f64>,
    beta: Vec<f64>,
    count: usize,
}

impl PooledGradients {
    /// Of no values of so many channels.
    ///
    /// # Errors
    /// [`Error::NoChannels`]; when there is no room.
    pub fn new(channels: usize) -> Result<Self> {
        if channels == 0 {
            return Err(Error::NoChannels);
        }
        Self::room(channels, 0)
    }

    /// Of `count` values per channel with these sums, both (C,).
    ///
    /// # Errors
    /// [`Error::NoChannels`], [`Error::Length`] for arrays of different lengths, [`Error::Value`] for 2⁵² values per channel and more;
    /// when there is no room.
    pub fn from_parts(count: usize, gamma: &[f64], beta: &[f64]) -> Result<Self> {
        check_len("the gradient sum of beta", beta.len(), gamma.len())?;
        total_count([count].into_iter())?;
        let mut sums = Self::new(gamma.len())?;
        sums.gamma.copy_from_slice(gamma);
        sums.beta.copy_from_slice(beta);
        sums.count = count;
        Ok(sums)
    }

    /// Of so many values, to be written.
    pub(crate) fn room(channels: usize, count: usize) -> Result<Self> {
        Ok(Self {
            gamma: filled(channels, 0.0)?,
            beta: filled(channels, 0.0)?,
            count,
        })
    }

    /// Of parts with as many channels. Of a part that alone has values the sums are those of the whole, as they are.
    pub(crate) fn of_parts(channels: usize, parts: &[GradientSums<&[f64]>]) -> Result<Self> {
        let _mode = DefaultMode::enter();
        let count = total_count(parts.iter().map(|part| part.count))?;
        let mut whole = Self::room(channels, count)?;
        let mut filled = parts.iter().filter(|part| part.count > 0);
        if let (Some(only), None) = (filled.next(), filled.next()) {
            whole.gamma.copy_from_slice(only.gamma);
            whole.beta.copy_from_slice(only.beta);
            return Ok(whole);
        }
        let terms = reserved(parts.len())?;
        Dispatch::detect().run(Sums {
            parts,
            terms,
            gamma: &mut whole.gamma,
            beta: &mut whole.beta,
        });
        Ok(whole)
    }

    /// Adds what others have: all of them, or after an error none. In whatever order they come, the bits are the same.
    ///
    /// # Errors
    /// [`crate::Error::Channels`] for another number of channels; [`crate::Error::Value`] for 2⁵² values per channel and more; when
    /// there is no room.
    pub fn merge(&mut self, others: &[Self]) -> Result<()> {
        let channels = self.gamma.len();
        if let Some(other) = others.iter().find(|other| other.gamma.len() != channels) {
            return Err(Error::Channels {
                found: other.gamma.len(),
                needed: channels,
            });
        }
        let mut parts = reserved(others.len() + 1)?;
        parts.push(self.view());
        parts.extend(others.iter().map(Self::view));
        *self = Self::of_parts(channels, &parts)?;
        Ok(())
    }

    /// As a step takes them.
    pub(crate) fn view(&self) -> GradientSums<&[f64]> {
        GradientSums {
            gamma: &self.gamma,
            beta: &self.beta,
            count: self.count,
        }
    }

    /// To be written.
    pub(crate) fn view_mut(&mut self) -> GradientSumsMut<&mut [f64]> {
        GradientSumsMut {
            gamma: &mut self.gamma,
            beta: &mut self.beta,
        }
    }

    /// dγ of each channel.
    pub fn gamma(&self) -> &[f64] {
        &self.gamma
    }

    /// dβ of each channel.
    pub fn beta(&self) -> &[f64] {
        &self.beta
    }

    /// The values per channel.
    pub fn count(&self) -> usize {
        self.count
    }

    /// dγ and dβ, rounded to the compute type.
    pub(crate) fn to_arrays<C: Compute, B: Backend>(
        &self,
        backend: &B,
    ) -> Result<[ChannelArray<C, B>; 2]> {
        let _mode = DefaultMode::enter();
        let array = |sums: &[f64]| {
            let rounded = collected(sums.iter().map(|&sum| C::from_f64(sum)))?;
            ChannelArray::new(backend, &rounded)
        };
        Ok([array(&self.gamma)?, array(&self.beta)?])
    }
}

/// The sums over parts.
struct Sums<'a, 'p> {
    parts: &'a [GradientSums<&'p [f64]>],
    /// Room for one of each part.
    terms: Vec<OfChannels>,
    gamma: &'a mut [f64],
    beta: &'a mut [f64],
}

impl Kernel for Sums<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _: S) {
        let channels = self.gamma.len();
        for first in (0..channels).step_by(CHANNELS_AT_ONCE) {
            let lanes = channels.min(first + CHANNELS_AT_ONCE) - first;
            for (sums, of) in [
                (&mut *self.gamma, (|part| part.gamma) as ArrayOf),
                (&mut *self.beta, |part| part.beta),
            ] {
                self.terms.clear();
                let of_parts = self.parts.iter().map(|part| loaded(&of(part)[first..]));
                self.terms.extend(of_parts);
                sums[first..][..lanes].copy_from_slice(&exact_sums(&self.terms)[..lanes]);
            }
        }
    }
}

/// One of the two arrays of a part.
type ArrayOf = for<'p, 'a> fn(&'p GradientSums<&'a [f64]>) -> &'a [f64];

/// How many channels and values, and not their gradients.
impl fmt::Debug for PooledGradients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (channels, count) = (self.gamma.len(), self.count);
        write!(f, "PooledGradients({channels} channels of {count} values)")
    }
}
