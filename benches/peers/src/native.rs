//! This crate into memory that is there, and the limit on the same arrays.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Tensor};

use workload::limit::{Limit, Way};

use crate::contender::{Column, InProcess};
use crate::problem::{EPSILON, PassKind, Problem, RUNNING_MEAN, RUNNING_VARIANCE, Result};

struct Set {
    x: Arc<Tensor<f32, Cpu>>,
    dy: Tensor<f32, Cpu>,
    out: Tensor<f32, Cpu>,
}

/// Arrays of a problem, for all here.
#[derive(Clone)]
pub struct Sets(Rc<RefCell<Vec<Set>>>);

impl Sets {
    pub fn new(cpu: &Cpu, problem: &Problem) -> Result<Self> {
        let shape = problem.shape()?;
        let sets: Result<Vec<Set>> = (0..problem.sets)
            .map(|_| {
                Ok(Set {
                    x: Arc::new(Tensor::new(cpu, shape, &problem.x)?),
                    dy: Tensor::new(cpu, shape, &problem.dy)?,
                    out: Tensor::zeros(cpu, shape)?,
                })
            })
            .collect();
        Ok(Self(Rc::new(RefCell::new(sets?))))
    }

    /// x of a set.
    pub fn input(&self, set: usize) -> Arc<Tensor<f32, Cpu>> {
        Arc::clone(&self.0.borrow()[set].x)
    }

    /// x of every set.
    pub fn inputs(&self) -> Vec<Arc<Tensor<f32, Cpu>>> {
        let sets = 0..self.0.borrow().len();
        sets.map(|set| self.input(set)).collect()
    }

    /// Does something with dy of a set.
    pub fn with_gradient<R>(&self, set: usize, work: impl FnOnce(&Tensor<f32, Cpu>) -> R) -> R {
        work(&self.0.borrow()[set].dy)
    }
}

pub struct Native {
    training: BatchNorm<Cpu>,
    inference: BatchNorm<Cpu>,
    sets: Sets,
    /// A forward pass over each set.
    passes: Vec<batchnorm::Pass<Arc<Tensor<f32, Cpu>>, Cpu>>,
}

/// A layer with the problem's parameters.
pub fn layer(cpu: &Cpu, problem: &Problem) -> Result<BatchNorm<Cpu>> {
    let channels = problem.channels();
    let mut layer = BatchNorm::new(cpu, BatchNormConfig::new(channels).epsilon(EPSILON))?;
    layer.gamma_mut().expect("affine").set(&problem.gamma)?;
    layer.beta_mut().expect("affine").set(&problem.beta)?;
    let running = layer.running_mut().expect("running statistics");
    running.set(
        &vec![RUNNING_MEAN; channels],
        &vec![RUNNING_VARIANCE; channels],
        1,
    )?;
    Ok(layer)
}

impl Native {
    pub fn new(cpu: &Cpu, problem: &Problem, sets: &Sets) -> Result<Self> {
        let mut training = layer(cpu, problem)?;
        let mut passes = vec![];
        for Set { x, out, .. } in sets.0.borrow_mut().iter_mut() {
            passes.push(training.forward_training_into(Arc::clone(x), None, out)?);
        }
        Ok(Self {
            training,
            inference: layer(cpu, problem)?,
            sets: sets.clone(),
            passes,
        })
    }
}

impl InProcess for Native {
    fn name(&self) -> String {
        "batchnorm".into()
    }

    fn column(&self) -> Column {
        Column::Ours
    }

    fn sets(&self) -> usize {
        self.passes.len()
    }

    fn run(&mut self, pass: PassKind, set: usize) -> Result<Duration> {
        let Set { x, dy, out } = &mut self.sets.0.borrow_mut()[set];
        let start = Instant::now();
        match pass {
            PassKind::Forward => {
                self.training.forward_training_into(&**x, None, out)?;
            }
            PassKind::Backward => {
                self.passes[set].backward_into(dy, out, None)?;
            }
            PassKind::Inference => self.inference.forward_inference_into(&**x, None, out)?,
        }
        Ok(start.elapsed())
    }

    fn written(&self, set: usize) -> Result<Option<Vec<f32>>> {
        Ok(Some(self.sets.0.borrow()[set].out.to_vec()?))
    }
}

/// Moves the same bytes, in one of the ways.
pub struct Streaming {
    limit: Rc<Limit>,
    way: Way,
    sets: Sets,
}

impl Streaming {
    pub fn all(limit: &Rc<Limit>, bytes: usize, sets: &Sets) -> impl Iterator<Item = Self> {
        let ways = limit.ways(bytes).into_iter();
        ways.map(move |way| Self {
            limit: Rc::clone(limit),
            way,
            sets: sets.clone(),
        })
    }
}

impl InProcess for Streaming {
    fn name(&self) -> String {
        format!("limit, {}", self.way)
    }

    fn column(&self) -> Column {
        Column::Limit
    }

    fn sets(&self) -> usize {
        self.sets.0.borrow().len()
    }

    fn run(&mut self, pass: PassKind, set: usize) -> Result<Duration> {
        let Set { x, dy, out } = &mut self.sets.0.borrow_mut()[set];
        let (x, dy, out) = (x.slice(), dy.slice(), out.slice_mut());
        Ok(match pass {
            PassKind::Forward | PassKind::Inference => self.limit.copy(self.way, 1, x, out),
            PassKind::Backward => self.limit.combine(self.way, 1, dy, x, out),
        })
    }

    fn written(&self, _: usize) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }
}
