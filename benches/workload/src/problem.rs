//! A problem: a shape, sets of arrays that take turns, and what there is of each channel.

use batchnorm::backend::{Affine, Backend, GradientSumsMut, Normalization, StatisticsMut};
use batchnorm::{Compute, Cpu, CpuMask, Element, Error, Result, Shape};

use crate::shapes;

const EPSILON: f64 = 1e-5;

/// The arrays of x's shape.
pub struct Arrays<T: Element> {
    pub x: Vec<T>,
    pub dy: Vec<T>,
    /// y, or dx.
    pub out: Vec<T>,
    /// The residual, or its gradient.
    pub second: Vec<T>,
    /// Where y is zero.
    pub mask: CpuMask,
}

/// The arrays with one value a channel.
pub struct Channels<C: Compute> {
    pub statistics: Statistics<C>,
    pub gamma: Vec<C>,
    pub beta: Vec<C>,
    pub sums: Sums<C>,
}

/// Of a batch, or running.
pub struct Statistics<C> {
    mean: Vec<C>,
    mean_low: Vec<C>,
    variance: Vec<C>,
    inv_std: Vec<C>,
}

/// dγ and dβ.
pub struct Sums<C> {
    pub gamma: Vec<C>,
    pub beta: Vec<C>,
}

pub struct Problem<T: Element> {
    pub shape: Shape,
    pub sets: Vec<Arrays<T>>,
    pub channels: Channels<T::Compute>,
}

impl<T: Element> Problem<T> {
    /// Random arrays, all of their memory touched.
    pub fn new(shape: Shape) -> Result<Self> {
        let (cpu, len) = (Cpu::new(), shape.len());
        let count = shapes::sets(len * size_of::<T>());
        let values = shapes::ARRAYS * count * len;
        // What is more than the machine has is an error here, and does not end the program below.
        Vec::<T>::new()
            .try_reserve_exact(values)
            .map_err(|_| Error::OutOfMemory {
                bytes: values.saturating_mul(size_of::<T>()),
            })?;
        let sets = (0..count as u64).map(|set| {
            let [x, dy, out, second] =
                [0, 1, 2, 3].map(|array| shapes::values(len, 4 * set + array));
            let mask = cpu.mask::<T>(&shape)?;
            Ok(Arrays {
                x,
                dy,
                out,
                second,
                mask,
            })
        });
        Ok(Self {
            shape,
            sets: sets.collect::<Result<_>>()?,
            channels: Channels::new(shape.channels()),
        })
    }
}

impl<C: Compute> Channels<C> {
    /// Values that a deviation can have, too.
    fn new(channels: usize) -> Self {
        let values = |seed| {
            let values = shapes::values::<C>(channels, seed).into_iter();
            values
                .map(|value| C::from_f64(value.to_f64().abs() + 0.5))
                .collect()
        };
        Self {
            statistics: Statistics {
                mean: values(0),
                mean_low: vec![C::default(); channels],
                variance: values(1),
                inv_std: values(2),
            },
            gamma: values(3),
            beta: values(4),
            sums: Sums {
                gamma: values(5),
                beta: values(6),
            },
        }
    }

    /// γ and β, and where statistics are written.
    pub fn training(&mut self) -> (Affine<&[C]>, StatisticsMut<&mut [C]>) {
        let affine = Affine {
            gamma: &self.gamma[..],
            beta: &self.beta[..],
            epsilon: EPSILON,
        };
        let Statistics {
            mean,
            mean_low,
            variance,
            inv_std,
        } = &mut self.statistics;
        let out = StatisticsMut {
            mean: &mut mean[..],
            mean_low: &mut mean_low[..],
            variance: &mut variance[..],
            inv_std: &mut inv_std[..],
            running: None,
        };
        (affine, out)
    }

    /// What x is normalized with, and where dγ and dβ are written.
    pub fn backward(&mut self) -> (Normalization<&[C]>, GradientSumsMut<&mut [C]>) {
        let with = Normalization {
            mean: &self.statistics.mean[..],
            mean_low: &self.statistics.mean_low[..],
            inv_std: &self.statistics.inv_std[..],
            gamma: &self.gamma[..],
            beta: &self.beta[..],
        };
        let out = GradientSumsMut {
            gamma: &mut self.sums.gamma[..],
            beta: &mut self.sums.beta[..],
        };
        (with, out)
    }
}
