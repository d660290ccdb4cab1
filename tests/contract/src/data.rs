//! Data for the checks: seeded, and rounded to the data type before anyone sees it.

use batchnorm::{Activation, Element, Shape};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use crate::reference::Problem;

pub struct Random(SplitMix64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Mean 0, deviation 1, within ±6: twelve uniforms.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// The nearest value of a data type.
pub fn round<T: Element>(value: f64) -> f64 {
    T::from_f64(value).to_f64()
}

pub fn typed<T: Element>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::from_f64(value)).collect()
}

pub fn wide<T: Element>(values: &[T]) -> Vec<f64> {
    values.iter().map(|value| value.to_f64()).collect()
}

/// Every channel with its own mean (−3..3) and deviation (0.5..2); γ and β of both signs.
pub fn ordinary<T: Element>(shape: Shape, seed: u64) -> Problem {
    let mut random = Random::new(seed);
    let channels = shape.channels();
    let means: Vec<f64> = (0..channels)
        .map(|_| 6.0 * random.uniform() - 3.0)
        .collect();
    let deviations: Vec<f64> = (0..channels)
        .map(|_| 0.5 + 1.5 * random.uniform())
        .collect();
    let mut x = vec![0.0; shape.len()];
    for n in 0..shape.batch() {
        for c in 0..channels {
            for s in 0..shape.spatial() {
                x[shape.index(n, c, s)] = round::<T>(means[c] + deviations[c] * random.normal());
            }
        }
    }
    with_x::<T>(shape, x, seed + 1)
}

/// The given x, and everything else ordinary.
pub fn with_x<T: Element>(shape: Shape, x: Vec<f64>, seed: u64) -> Problem {
    let mut random = Random::new(seed);
    let channels = shape.channels();
    let signed = |random: &mut Random| {
        let magnitude = 0.25 + 1.5 * random.uniform();
        round::<T::Compute>(if random.uniform() < 0.3 {
            -magnitude
        } else {
            magnitude
        })
    };
    Problem {
        shape,
        x,
        gamma: (0..channels).map(|_| signed(&mut random)).collect(),
        beta: (0..channels).map(|_| signed(&mut random)).collect(),
        epsilon: 1e-5,
        residual: None,
        activation: Activation::None,
        running: None,
        dy: (0..shape.len())
            .map(|_| round::<T>(random.normal() + 0.25))
            .collect(),
    }
}

/// With a residual to be added.
pub fn add_residual<T: Element>(problem: &mut Problem, seed: u64) {
    let mut random = Random::new(seed);
    problem.residual = Some(
        (0..problem.shape.len())
            .map(|_| round::<T>(random.normal()))
            .collect(),
    );
}

/// With running statistics that are not the batch's.
pub fn add_running<T: Element>(problem: &mut Problem, seed: u64) {
    let mut random = Random::new(seed);
    let channels = problem.shape.channels();
    let mean = (0..channels)
        .map(|_| round::<T::Compute>(2.0 * random.uniform() - 1.0))
        .collect();
    let variance = (0..channels)
        .map(|_| round::<T::Compute>(0.3 + 2.0 * random.uniform()))
        .collect();
    problem.running = Some((mean, variance));
}
