//! burn's layer on its CPU backend, `flex`, and this crate's in its place.

use std::rc::Rc;
use std::time::{Duration, Instant};

use burn::module::{Param, RunningState};
use burn::nn::BatchNormConfig;
use burn::tensor::{Device, Tensor, TensorData};

use crate::contender::{Column, InProcess};
use crate::problem::{EPSILON, PassKind, Problem, RUNNING_MEAN, RUNNING_VARIANCE, Result};

/// As pinned in Cargo.toml.
pub const THEIRS: &str = "burn 0.22.1";

pub struct Burn<L> {
    name: &'static str,
    column: Column,
    training: L,
    inference: L,
    sets: Sets,
    /// What the last pass made: it is not freed in the time of a pass.
    made: Option<Tensor<4>>,
}

/// What both layers have in common.
pub trait Layer: From<burn::nn::BatchNorm> {
    fn forward(&self, x: Tensor<4>) -> Tensor<4>;
}

impl Layer for burn::nn::BatchNorm {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward(x)
    }
}

impl Layer for batchnorm_burn::BatchNorm {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.forward(x)
    }
}

/// Arrays of a problem, for both layers.
#[derive(Clone)]
pub struct Sets(Rc<Vec<Set>>);

struct Set {
    x: Tensor<4>,
    x_autodiff: Tensor<4>,
    dy: Tensor<4>,
}

fn layer(problem: &Problem, device: &Device) -> burn::nn::BatchNorm {
    let channels = problem.channels();
    let vector =
        |values: Vec<f32>| Tensor::<1>::from_data(TensorData::new(values, [channels]), device);
    let mut layer = BatchNormConfig::new(channels)
        .with_epsilon(EPSILON)
        .init(device);
    layer.gamma = Param::from_tensor(vector(problem.gamma.clone()));
    layer.beta = Param::from_tensor(vector(problem.beta.clone()));
    layer.running_mean = RunningState::new(vector(vec![RUNNING_MEAN; channels]));
    layer.running_var = RunningState::new(vector(vec![RUNNING_VARIANCE; channels]));
    layer
}

/// The same values as two spatial dimensions, whatever there are.
fn four(dims: &[usize]) -> [usize; 4] {
    let spatial = &dims[2..];
    let last = spatial.last().copied().unwrap_or(1);
    [
        dims[0],
        dims[1],
        spatial.iter().product::<usize>() / last,
        last,
    ]
}

fn devices() -> (Device, Device) {
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    (plain, autodiff)
}

impl Sets {
    pub fn new(problem: &Problem) -> Self {
        let (plain, autodiff) = devices();
        let tensor = |values: &[f32], device: &Device| {
            Tensor::from_data(
                TensorData::new(values.to_vec(), four(&problem.dims)),
                device,
            )
        };
        let set = |_| Set {
            x: tensor(&problem.x, &plain),
            x_autodiff: tensor(&problem.x, &autodiff).require_grad(),
            dy: tensor(&problem.dy, &autodiff),
        };
        Self(Rc::new((0..problem.sets).map(set).collect()))
    }
}

impl<L: Layer> Burn<L> {
    fn new(name: &'static str, column: Column, problem: &Problem, sets: &Sets) -> Self {
        let (plain, autodiff) = devices();
        Self {
            name,
            column,
            training: layer(problem, &autodiff).into(),
            inference: layer(problem, &plain).into(),
            sets: sets.clone(),
            made: None,
        }
    }
}

impl Burn<batchnorm_burn::BatchNorm> {
    pub fn ours(problem: &Problem, sets: &Sets) -> Self {
        Self::new("batchnorm-burn", Column::OursInBurn, problem, sets)
    }
}

impl Burn<burn::nn::BatchNorm> {
    pub fn theirs(problem: &Problem, sets: &Sets) -> Self {
        Self::new(THEIRS, Column::Burn, problem, sets)
    }
}

impl<L: Layer> InProcess for Burn<L> {
    fn name(&self) -> String {
        self.name.into()
    }

    fn column(&self) -> Column {
        self.column
    }

    fn sets(&self) -> usize {
        self.sets.0.len()
    }

    fn run(&mut self, pass: PassKind, set: usize) -> Result<Duration> {
        self.free();
        let Set { x, x_autodiff, dy } = &self.sets.0[set];
        let (made, time) = match pass {
            PassKind::Forward => {
                let start = Instant::now();
                let y = self.training.forward(x_autodiff.clone());
                let time = start.elapsed();
                (y.inner(), time)
            }
            PassKind::Backward => {
                // dy comes to y through a product and a sum, which are timed too: burn has no other way.
                let y = self.training.forward(x_autodiff.clone());
                let loss = (y * dy.clone()).sum();
                let start = Instant::now();
                let gradients = loss.backward();
                let time = start.elapsed();
                (x_autodiff.grad(&gradients).ok_or("no dx")?, time)
            }
            PassKind::Inference => {
                let start = Instant::now();
                let y = self.inference.forward(x.clone());
                let time = start.elapsed();
                (y, time)
            }
        };
        self.made = Some(made);
        Ok(time)
    }

    fn written(&self, _: usize) -> Result<Option<Vec<f32>>> {
        let made = self.made.as_ref().ok_or("no pass has run")?;
        let values = made.to_data().try_to_vec::<f32>();
        Ok(Some(values.map_err(|error| format!("{error:?}"))?))
    }

    fn free(&mut self) {
        self.made = None;
    }
}
