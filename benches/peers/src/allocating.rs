//! This crate's calls that give new tensors: the README's own three, as a loop of them makes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use batchnorm::{BatchNorm, Cpu, Tensor};

use crate::contender::{Column, InProcess};
use crate::native::{Sets, layer};
use crate::problem::{PassKind, Problem, Result};

pub struct Allocating {
    training: BatchNorm<Cpu>,
    inference: BatchNorm<Cpu>,
    sets: Sets,
    /// A forward pass over each set.
    passes: Vec<batchnorm::Pass<Arc<Tensor<f32, Cpu>>, Cpu>>,
    /// y or dx of the last pass.
    made: Option<Tensor<f32, Cpu>>,
}

impl Allocating {
    pub fn new(cpu: &Cpu, problem: &Problem, sets: &Sets) -> Result<Self> {
        let mut training = layer(cpu, problem)?;
        let mut passes = vec![];
        for x in sets.inputs() {
            passes.push(training.forward_training(x)?.1);
        }
        Ok(Self {
            training,
            inference: layer(cpu, problem)?,
            sets: sets.clone(),
            passes,
            made: None,
        })
    }
}

impl InProcess for Allocating {
    fn name(&self) -> String {
        "batchnorm, allocating".into()
    }

    fn column(&self) -> Column {
        Column::OursAllocating
    }

    fn sets(&self) -> usize {
        self.passes.len()
    }

    /// With the time that it takes to free what the pass before made: a loop has to, sooner or later.
    fn run(&mut self, pass: PassKind, set: usize) -> Result<Duration> {
        let x = self.sets.input(set);
        let start = Instant::now();
        self.made = None;
        self.made = Some(match pass {
            PassKind::Forward => self.training.forward_training(&*x)?.0,
            PassKind::Backward => {
                self.sets
                    .with_gradient(set, |dy| self.passes[set].backward(dy))?
                    .input
            }
            PassKind::Inference => self.inference.forward_inference(&*x)?,
        });
        Ok(start.elapsed())
    }

    fn written(&self, _: usize) -> Result<Option<Vec<f32>>> {
        let made = self.made.as_ref().ok_or("no pass has run")?;
        Ok(Some(made.to_vec()?))
    }

    fn free(&mut self) {
        self.made = None;
    }
}
