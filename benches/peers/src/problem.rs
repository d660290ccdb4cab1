//! What everybody is given, and what everybody must do.

use std::time::Duration;

use rand::distr::{Distribution, Uniform};
use rand::{SeedableRng, rngs::StdRng};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

pub const EPSILON: f64 = 1e-5;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// With the batch's statistics; the running ones follow.
    Forward,
    /// From dy to the gradients of x, γ and β. The forward pass before it is not timed.
    Backward,
    /// With running statistics, without gradients where the library can do without.
    Inference,
}

impl Pass {
    pub const ALL: [Pass; 3] = [Pass::Forward, Pass::Backward, Pass::Inference];

    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::Backward => "backward",
            Pass::Inference => "inference",
        }
    }
}

/// Random inputs.
pub struct Problem {
    pub dims: [usize; 4],
    pub x: Vec<f32>,
    pub dy: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

impl Problem {
    pub fn random(dims: [usize; 4]) -> Self {
        let mut random = StdRng::seed_from_u64(1);
        let between = Uniform::new(-1.5f32, 2.5).expect("a range");
        let mut values = |len: usize| (0..len).map(|_| between.sample(&mut random)).collect();
        let len = dims.iter().product();
        Self {
            dims,
            x: values(len),
            dy: values(len),
            gamma: values(dims[1]),
            beta: values(dims[1]),
        }
    }
}

/// y, or dx.
pub trait Output {
    fn values(&self) -> Result<Vec<f32>>;
}

/// A batch norm.
pub trait Contender {
    fn name(&self) -> &'static str;
    /// Runs a pass; the time is that of the pass alone.
    fn run(&mut self, pass: Pass) -> Result<(Box<dyn Output + '_>, Duration)>;
}
