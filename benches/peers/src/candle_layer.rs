//! candle's layer, and this crate's in its place.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use batchnorm::candle::BatchNorm;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor, Var};
use candle_nn::ModuleT;

use crate::contender::{Column, InProcess};
use crate::problem::{EPSILON, PassKind, Problem, RUNNING_MEAN, RUNNING_VARIANCE, Result};

/// As pinned in Cargo.toml.
pub const THEIRS: &str = "candle-nn 0.11.1";

pub struct Candle<L> {
    name: &'static str,
    column: Column,
    training: L,
    /// Of parameters that want no gradients.
    inference: L,
    sets: Sets,
    /// What the last pass made: it is not freed in the time of a pass.
    made: Option<Tensor>,
}

/// x and dy of a problem, for both layers.
#[derive(Clone)]
pub struct Sets(Rc<Vec<Set>>);

struct Set {
    /// As in a network: what an operation gave, not a variable.
    x: Tensor,
    dx: Arc<Mutex<Option<Tensor>>>,
    dy: Tensor,
}

impl Sets {
    pub fn new(problem: &Problem) -> Result<Self> {
        let dims = problem.dims.as_slice();
        let sets: candle_core::Result<_> = (0..problem.sets)
            .map(|_| {
                let dx = Arc::default();
                let before = Before {
                    dx: Arc::clone(&dx),
                };
                let x = Var::from_slice(&problem.x, dims, &Device::Cpu)?.apply_op1(before)?;
                let dy = Tensor::from_slice(&problem.dy, dims, &Device::Cpu)?;
                Ok(Set { x, dx, dy })
            })
            .collect();
        Ok(Self(Rc::new(sets?)))
    }
}

/// What is before the layer: it takes dx, at no cost of its own.
struct Before {
    dx: Arc<Mutex<Option<Tensor>>>,
}

impl CustomOp1 for Before {
    fn name(&self) -> &'static str {
        "before"
    }
    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok((storage.clone(), layout.shape().clone()))
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, dx: &Tensor) -> candle_core::Result<Option<Tensor>> {
        *self.dx.lock().unwrap_or_else(PoisonError::into_inner) = Some(dx.clone());
        Ok(None)
    }
}

/// The signature of both layers' constructors: channels, running mean, running variance, γ, β, ε.
type Constructor<L> = fn(usize, Tensor, Tensor, Tensor, Tensor, f64) -> candle_core::Result<L>;

impl<L> Candle<L> {
    fn new(
        name: &'static str,
        column: Column,
        constructor: Constructor<L>,
        problem: &Problem,
        sets: &Sets,
    ) -> Result<Self> {
        let channels = problem.channels();
        let vector = |values: &[f32]| Var::from_slice(values, channels, &Device::Cpu);
        let layer = |detached: bool| {
            let parameter = |values: &[f32]| {
                let parameter = vector(values)?;
                candle_core::Result::Ok(if detached {
                    parameter.as_detached_tensor()
                } else {
                    parameter.into_inner()
                })
            };
            constructor(
                channels,
                vector(&vec![RUNNING_MEAN; channels])?.into_inner(),
                vector(&vec![RUNNING_VARIANCE; channels])?.into_inner(),
                parameter(&problem.gamma)?,
                parameter(&problem.beta)?,
                EPSILON,
            )
        };
        Ok(Self {
            name,
            column,
            training: layer(false)?,
            inference: layer(true)?,
            sets: sets.clone(),
            made: None,
        })
    }
}

impl Candle<BatchNorm> {
    pub fn ours(problem: &Problem, sets: &Sets) -> Result<Self> {
        Self::new(
            "batchnorm::candle",
            Column::OursInCandle,
            BatchNorm::new,
            problem,
            sets,
        )
    }
}

impl Candle<candle_nn::BatchNorm> {
    pub fn theirs(problem: &Problem, sets: &Sets) -> Result<Self> {
        let constructor = candle_nn::BatchNorm::new;
        Self::new(THEIRS, Column::Candle, constructor, problem, sets)
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

impl<L: ModuleT> InProcess for Candle<L> {
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
        let Set { x, dx, dy } = &self.sets.0[set];
        let (made, time) = match pass {
            PassKind::Forward => {
                let start = Instant::now();
                let y = self.training.forward_t(x, true)?;
                let time = start.elapsed();
                (y, time)
            }
            PassKind::Backward => {
                let y = self.training.forward_t(x, true)?;
                let loss = y.apply_op1(Loss { dy: dy.clone() })?;
                let start = Instant::now();
                let gradients = loss.backward()?;
                let time = start.elapsed();
                drop(gradients);
                let mut dx = dx.lock().unwrap_or_else(PoisonError::into_inner);
                (dx.take().ok_or("no dx")?, time)
            }
            PassKind::Inference => {
                let x = x.detach();
                let start = Instant::now();
                let y = self.inference.forward_t(&x, false)?;
                let time = start.elapsed();
                (y, time)
            }
        };
        self.made = Some(made);
        Ok(time)
    }

    fn written(&self, _: usize) -> Result<Option<Vec<f32>>> {
        let made = self.made.as_ref().ok_or("no pass has run")?;
        Ok(Some(made.flatten_all()?.to_vec1()?))
    }

    fn free(&mut self) {
        self.made = None;
    }
}
