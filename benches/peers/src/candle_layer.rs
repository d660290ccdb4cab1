//! candle's layer, and this crate's in its place.

use std::time::{Duration, Instant};

use batchnorm::candle::BatchNorm;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor, Var};
use candle_nn::ModuleT;

use crate::problem::{Contender, EPSILON, Output, Pass, Problem, Result};

pub struct Candle<L> {
    name: &'static str,
    layer: L,
    running: [Var; 2],
    x: Var,
    dy: Tensor,
}

/// The signature of both layers' constructors: channels, running mean, running variance, γ, β, ε.
type Constructor<L> = fn(usize, Tensor, Tensor, Tensor, Tensor, f64) -> candle_core::Result<L>;

impl<L> Candle<L> {
    fn new(name: &'static str, constructor: Constructor<L>, problem: &Problem) -> Result<Self> {
        let channels = problem.dims[1];
        let vector = |values: &[f32]| Var::from_slice(values, channels, &Device::Cpu);
        let running = [vector(&vec![0.0; channels])?, vector(&vec![1.0; channels])?];
        let layer = constructor(
            channels,
            running[0].as_tensor().clone(),
            running[1].as_tensor().clone(),
            vector(&problem.gamma)?.into_inner(),
            vector(&problem.beta)?.into_inner(),
            EPSILON,
        )?;
        Ok(Self {
            name,
            layer,
            running,
            x: Var::from_slice(&problem.x, problem.dims.as_slice(), &Device::Cpu)?,
            dy: Tensor::from_slice(&problem.dy, problem.dims.as_slice(), &Device::Cpu)?,
        })
    }
}

impl Candle<BatchNorm> {
    pub fn ours(problem: &Problem) -> Result<Self> {
        Self::new("batchnorm::candle", BatchNorm::new, problem)
    }
}

impl Candle<candle_nn::BatchNorm> {
    pub fn theirs(problem: &Problem) -> Result<Self> {
        Self::new("candle-nn", candle_nn::BatchNorm::new, problem)
    }
}

/// A loss whose gradient is dy, at no cost of its own.
struct Loss {
    dy: Tensor,
}

impl CustomOp1 for Loss {
    fn name(&self) -> &'static str {
        "loss"
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), Shape::from(())))
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(self.dy.clone()))
    }
}

impl Output for Tensor {
    fn values(&self) -> Result<Vec<f32>> {
        Ok(self.flatten_all()?.to_vec1()?)
    }
}

impl<L: ModuleT> Contender for Candle<L> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, pass: Pass) -> Result<(Box<dyn Output + '_>, Duration)> {
        let detached = self.x.as_detached_tensor();
        Ok(match pass {
            Pass::Forward => {
                let start = Instant::now();
                let y = self.layer.forward_t(&self.x, true)?;
                let time = start.elapsed();
                (Box::new(y), time)
            }
            Pass::Backward => {
                let y = self.layer.forward_t(&self.x, true)?;
                let loss = y.apply_op1(Loss {
                    dy: self.dy.clone(),
                })?;
                let start = Instant::now();
                let mut gradients = loss.backward()?;
                let time = start.elapsed();
                let dx = gradients.remove(&self.x).ok_or("no dx")?;
                (Box::new(dx), time)
            }
            Pass::Inference => {
                for (running, value) in self.running.iter().zip([0.5, 1.5]) {
                    running.set(
                        &running
                            .as_detached_tensor()
                            .ones_like()?
                            .affine(value, 0.0)?,
                    )?;
                }
                let start = Instant::now();
                let y = self.layer.forward_t(&detached, false)?;
                let time = start.elapsed();
                (Box::new(y), time)
            }
        })
    }
}
