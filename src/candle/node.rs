//! The layer in candle's graph. candle attaches a result to its graph through an operation of three inputs and one
//! output; the result is computed before, where its errors are this crate's, and only handed over here.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CudaStorage, CustomOp3, Layout, Result, Shape, Storage, Tensor};

use crate::candle::memory::{on_cpu, on_cuda};
use crate::candle::operation::Backward;

/// y, and how to go back from it.
struct Node {
    y: Mutex<Option<Storage>>,
    dims: Vec<usize>,
    inputs: Inputs,
    backward: Box<dyn Backward>,
}

/// What a node's three inputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inputs {
    /// x, γ, β.
    Affine,
    /// x, the residual, and γ and β as one (2, C) tensor: three are all there can be.
    Residual,
}

/// Attaches y, whose axes are `dims`, to x, the residual, γ and β.
pub(super) fn attach(
    y: Storage,
    dims: &[usize],
    backward: Box<dyn Backward>,
    x: &Tensor,
    residual: Option<&Tensor>,
    (gamma, beta): (&Tensor, &Tensor),
) -> Result<Tensor> {
    let node = |inputs| Node {
        y: Mutex::new(Some(y)),
        dims: dims.to_vec(),
        inputs,
        backward,
    };
    match residual {
        None => x.apply_op3(gamma, beta, node(Inputs::Affine)),
        Some(residual) => {
            let affine = Tensor::stack(&[gamma, beta], 0)?;
            x.apply_op3(residual, &affine, node(Inputs::Residual))
        }
    }
}

impl Node {
    /// y, which there is once, and its shape.
    fn hand_over(&self) -> Result<(Storage, Shape)> {
        let mut y = self.y.lock().unwrap_or_else(PoisonError::into_inner);
        match y.take() {
            Some(y) => Ok((y, Shape::from(self.dims.as_slice()))),
            None => candle_core::bail!("the result of a batch norm was handed over before"),
        }
    }
}

impl CustomOp3 for Node {
    fn name(&self) -> &'static str {
        "batch-norm"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (y, shape) = self.hand_over()?;
        Ok((on_cpu(y)?, shape))
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let (y, shape) = self.hand_over()?;
        Ok((on_cuda(y)?, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d = self.backward.backward(x, dy)?;
        Ok(match self.inputs {
            Inputs::Affine => (Some(d.input), Some(d.gamma), Some(d.beta)),
            Inputs::Residual => {
                let affine = Tensor::stack(&[d.gamma, d.beta], 0)?;
                (Some(d.input), d.residual, Some(affine))
            }
        })
    }
}
