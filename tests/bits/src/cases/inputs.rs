//! What a case is given.

use std::fmt;

use batchnorm::{DType, Element, Shape};
use half::{bf16, f16};

use super::random::Random;

/// What x is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// Every channel with a mean and a deviation of its own.
    Ordinary,
    /// A mean of many deviations.
    LargeMean,
    /// One channel has a value that is no number.
    NotANumber,
    /// One channel has an infinity.
    Infinity,
    /// Around the smallest number that has all its digits.
    Tiny,
}

impl Data {
    /// All but the ordinary.
    pub(super) const UNUSUAL: [Self; 4] = [
        Self::LargeMean,
        Self::NotANumber,
        Self::Infinity,
        Self::Tiny,
    ];
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Data::Ordinary => "ordinary",
            Data::LargeMean => "large-mean",
            Data::NotANumber => "not-a-number",
            Data::Infinity => "infinity",
            Data::Tiny => "tiny",
        })
    }
}

/// Arrays of the values' type, and arrays of a value per channel.
pub(super) struct Inputs<T: Element> {
    pub shape: Shape,
    pub x: Vec<T>,
    pub dy: Vec<T>,
    pub residual: Vec<T>,
    pub gamma: Vec<T::Compute>,
    pub beta: Vec<T::Compute>,
    pub running_mean: Vec<T::Compute>,
    pub running_variance: Vec<T::Compute>,
}

impl<T: Element> Inputs<T> {
    pub(super) fn of(shape: Shape, data: Data) -> Self {
        let mut random = Random::new(7);
        let channels = shape.channels();
        let mut per_channel = |least: f64, range: f64| {
            let values =
                (0..channels).map(|_| T::Compute::from_f64(least + range * random.uniform()));
            values.collect::<Vec<_>>()
        };
        let (gamma, beta) = (per_channel(-0.5, 2.0), per_channel(-1.0, 2.0));
        let (running_mean, running_variance) = (per_channel(-1.0, 2.0), per_channel(0.25, 2.0));
        let (means, deviations) = (per_channel(-3.0, 6.0), per_channel(0.5, 1.5));
        let (scale, distance) = match data {
            Data::LargeMean => (1.0, 200.0),
            Data::Tiny => (smallest::<T>(), 0.0),
            _ => (1.0, 0.0),
        };
        let mut x = vec![T::default(); shape.len()];
        for n in 0..shape.batch() {
            for c in 0..channels {
                let (mean, deviation) = (means[c].to_f64() + distance, deviations[c].to_f64());
                for s in 0..shape.spatial() {
                    let value = scale * (mean + deviation * random.bell());
                    x[shape.index(n, c, s)] = T::from_f64(value);
                }
            }
        }
        let odd_one = match data {
            Data::NotANumber => Some(f64::NAN),
            Data::Infinity => Some(f64::INFINITY),
            _ => None,
        };
        if let Some(value) = odd_one {
            let (n, c, s) = (shape.batch() / 2, channels / 2, shape.spatial() / 2);
            x[shape.index(n, c, s)] = T::from_f64(value);
        }
        let mut values = |mean: f64| {
            let values = (0..shape.len()).map(|_| T::from_f64(mean + random.bell()));
            values.collect::<Vec<_>>()
        };
        let (dy, residual) = (values(0.25), values(0.0));
        Self {
            shape,
            x,
            dy,
            residual,
            gamma,
            beta,
            running_mean,
            running_variance,
        }
    }
}

/// The smallest number above zero that has all its digits.
fn smallest<T: Element>() -> f64 {
    match T::DTYPE {
        DType::F16 => f16::MIN_POSITIVE.to_f64(),
        DType::BF16 => bf16::MIN_POSITIVE.to_f64(),
        DType::F32 => f64::from(f32::MIN_POSITIVE),
        DType::F64 => f64::MIN_POSITIVE,
        other => panic!("no data for {other}"),
    }
}
