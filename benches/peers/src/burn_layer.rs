//! burn's layer on its CPU backend, `flex`.

use std::time::{Duration, Instant};

use burn::module::{Param, RunningState};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{Device, Tensor, TensorData};

use crate::problem::{Contender, EPSILON, Output, Pass, Problem, Result};

pub struct Burn {
    training: BatchNorm,
    inference: BatchNorm,
    x: Tensor<4>,
    x_autodiff: Tensor<4>,
    dy: Tensor<4>,
}

fn layer(problem: &Problem, device: &Device) -> BatchNorm {
    let channels = problem.dims[1];
    let vector =
        |values: Vec<f32>| Tensor::<1>::from_data(TensorData::new(values, [channels]), device);
    let mut layer = BatchNormConfig::new(channels)
        .with_epsilon(EPSILON)
        .init(device);
    layer.gamma = Param::from_tensor(vector(problem.gamma.clone()));
    layer.beta = Param::from_tensor(vector(problem.beta.clone()));
    layer.running_mean = RunningState::new(vector(vec![0.5; channels]));
    layer.running_var = RunningState::new(vector(vec![1.5; channels]));
    layer
}

impl Burn {
    pub fn new(problem: &Problem) -> Self {
        let plain = Device::flex();
        let autodiff = plain.clone().autodiff();
        let tensor = |values: &[f32], device: &Device| {
            Tensor::from_data(TensorData::new(values.to_vec(), problem.dims), device)
        };
        Self {
            training: layer(problem, &autodiff),
            inference: layer(problem, &plain),
            x: tensor(&problem.x, &plain),
            x_autodiff: tensor(&problem.x, &autodiff).require_grad(),
            dy: tensor(&problem.dy, &autodiff),
        }
    }
}

impl Output for Tensor<4> {
    fn values(&self) -> Result<Vec<f32>> {
        let values = self.to_data().try_to_vec::<f32>();
        Ok(values.map_err(|error| format!("{error:?}"))?)
    }
}

impl Contender for Burn {
    fn name(&self) -> &'static str {
        "burn"
    }

    fn run(&mut self, pass: Pass) -> Result<(Box<dyn Output + '_>, Duration)> {
        Ok(match pass {
            Pass::Forward => {
                let start = Instant::now();
                let y = self.training.forward(self.x_autodiff.clone());
                let time = start.elapsed();
                (Box::new(y.inner()), time)
            }
            Pass::Backward => {
                // dy comes to y through a product and a sum, which are timed too: burn has no other way.
                let y = self.training.forward(self.x_autodiff.clone());
                let loss = (y * self.dy.clone()).sum();
                let start = Instant::now();
                let gradients = loss.backward();
                let time = start.elapsed();
                let dx = self.x_autodiff.grad(&gradients).ok_or("no dx")?;
                (Box::new(dx), time)
            }
            Pass::Inference => {
                let start = Instant::now();
                let y = self.inference.forward(self.x.clone());
                let time = start.elapsed();
                (Box::new(y), time)
            }
        })
    }
}
