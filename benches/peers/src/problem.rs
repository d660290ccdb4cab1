//! What everybody is given, and what everybody must do.

use std::fs;
use std::path::Path;

use batchnorm::Shape;
use clap::ValueEnum;
use rand::distr::{Distribution, Uniform};
use rand::{SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

use workload::shapes;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

pub const EPSILON: f64 = 1e-5;
/// Of every channel, at inference.
pub const RUNNING_MEAN: f32 = 0.5;
pub const RUNNING_VARIANCE: f32 = 1.5;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassKind {
    /// With the batch's statistics; the running ones follow.
    Forward,
    /// From dy to the gradients of x, γ and β. The forward pass before it is not timed.
    Backward,
    /// With running statistics, without gradients where the library can do without.
    Inference,
}

impl PassKind {
    pub const ALL: [PassKind; 3] = [PassKind::Forward, PassKind::Backward, PassKind::Inference];

    pub fn name(self) -> &'static str {
        match self {
            PassKind::Forward => "forward",
            PassKind::Backward => "backward",
            PassKind::Inference => "inference",
        }
    }
}

/// The order of the values in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Layout {
    #[value(name = "first")]
    #[serde(rename = "channels first")]
    First,
    #[value(name = "last")]
    #[serde(rename = "channels last")]
    Last,
    /// No spatial dimensions: first and last are the same.
    #[value(name = "nc")]
    #[serde(rename = "(N, C)")]
    Matrix,
}

impl Layout {
    pub const ALL: [Layout; 3] = [Layout::First, Layout::Last, Layout::Matrix];

    /// Those that a shape can have.
    pub fn of(dims: &[usize]) -> &'static [Layout] {
        match dims.len() {
            2 => &[Layout::Matrix],
            _ => &[Layout::First, Layout::Last],
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Layout::First => "channels first",
            Layout::Last => "channels last",
            Layout::Matrix => "(N, C)",
        }
    }
}

/// Random inputs.
pub struct Problem {
    /// N, C, spatial dimensions.
    pub dims: Vec<usize>,
    pub layout: Layout,
    /// How many sets of x, dy and a result everybody has, to be used in turn: so many that nothing large is in the cache.
    pub sets: usize,
    pub x: Vec<f32>,
    pub dy: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

impl Problem {
    pub fn random(dims: &[usize], layout: Layout) -> Self {
        let mut random = StdRng::seed_from_u64(1);
        let between = Uniform::new(-1.5f32, 2.5).expect("a range");
        let mut values = |len: usize| (0..len).map(|_| between.sample(&mut random)).collect();
        let len = dims.iter().product();
        Self {
            dims: dims.to_vec(),
            layout,
            sets: shapes::sets(len * size_of::<f32>()),
            x: values(len),
            dy: values(len),
            gamma: values(dims[1]),
            beta: values(dims[1]),
        }
    }

    pub fn channels(&self) -> usize {
        self.dims[1]
    }

    pub fn shape(&self) -> Result<Shape> {
        Ok(match self.layout {
            Layout::First | Layout::Matrix => Shape::channels_first(&self.dims)?,
            Layout::Last => {
                let mut dims = self.dims.clone();
                dims[1..].rotate_left(1);
                Shape::channels_last(&dims)?
            }
        })
    }

    /// Writes the inputs as raw values, for those in other processes.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let inputs = [
            ("x", &self.x),
            ("dy", &self.dy),
            ("gamma", &self.gamma),
            ("beta", &self.beta),
        ];
        for (name, values) in inputs {
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_ne_bytes())
                .collect();
            fs::write(folder.join(name), bytes)?;
        }
        Ok(())
    }
}
