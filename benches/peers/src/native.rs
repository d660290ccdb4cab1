//! This crate on memory that is there.

use std::time::{Duration, Instant};

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};

use crate::problem::{Contender, EPSILON, Output, Pass, Problem, Result};

pub struct Native {
    layer: BatchNorm<Cpu>,
    x: Tensor<f32, Cpu>,
    dy: Tensor<f32, Cpu>,
    out: Tensor<f32, Cpu>,
}

impl Native {
    pub fn new(problem: &Problem) -> Result<Self> {
        let cpu = Cpu::new();
        let shape = Shape::channels_first(&problem.dims)?;
        let config = BatchNormConfig::new(problem.dims[1]).epsilon(EPSILON);
        let mut layer = BatchNorm::new(&cpu, config)?;
        layer.gamma_mut().expect("affine").set(&problem.gamma)?;
        layer.beta_mut().expect("affine").set(&problem.beta)?;
        Ok(Self {
            layer,
            x: Tensor::new(&cpu, shape, &problem.x)?,
            dy: Tensor::new(&cpu, shape, &problem.dy)?,
            out: Tensor::zeros(&cpu, shape)?,
        })
    }
}

impl Output for &mut Tensor<f32, Cpu> {
    fn values(&self) -> Result<Vec<f32>> {
        Ok(self.to_vec()?)
    }
}

impl Contender for Native {
    fn name(&self) -> &'static str {
        "batchnorm"
    }

    fn run(&mut self, pass: Pass) -> Result<(Box<dyn Output + '_>, Duration)> {
        let time = match pass {
            Pass::Forward => {
                let start = Instant::now();
                self.layer
                    .forward_training_into(&self.x, None, &mut self.out)?;
                start.elapsed()
            }
            Pass::Backward => {
                let pass = self
                    .layer
                    .forward_training_into(&self.x, None, &mut self.out)?;
                let start = Instant::now();
                pass.backward_into(&self.dy, &mut self.out, None)?;
                start.elapsed()
            }
            Pass::Inference => {
                // Everybody else's running statistics moved with every forward pass; these must be the same to compare.
                let channels = self.x.shape().channels();
                let running = self.layer.running_mut().expect("running statistics");
                running.set(&vec![0.5; channels], &vec![1.5; channels], 1)?;
                let start = Instant::now();
                self.layer
                    .forward_inference_into(&self.x, None, &mut self.out)?;
                start.elapsed()
            }
        };
        Ok((Box::new(&mut self.out), time))
    }
}
