//! The layer in candle's graph. candle attaches a result to its graph through an operation of three inputs and one
//! output; the result is computed before, where its errors are this crate's, and only handed over here.

use std::sync::{Mutex, PoisonError};

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp3, Error, Layout, Result, Shape, Storage, Tensor,
};

use crate::candle::memory::{on_cpu, on_cuda, to_logical_order, to_memory_order};
use crate::candle::operation::{Backward, Computed};
use crate::candle::value::compute_type;
use crate::shape::Layout as MemoryOrder;

/// y, and how to go back from it.
struct Node {
    y: Once,
    inputs: Inputs,
    /// x as it was, where the tensor itself may change before the gradients are asked for.
    kept: Option<Tensor>,
    backward: Box<dyn Backward>,
}

/// What was computed, until candle asks for it.
struct Once {
    storage: Mutex<Option<Storage>>,
    dims: Vec<usize>,
}

/// What a node's three inputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inputs {
    /// x, γ, β.
    Affine,
    /// x, the residual, and γ and β as one (2, C) tensor of the type of both, or of the wider: three are all there can be.
    Residual,
}

/// Attaches y to x, the residual, γ and β.
pub(super) fn attach(
    y: Computed,
    backward: Box<dyn Backward>,
    (x, layout): (&Tensor, MemoryOrder),
    residual: Option<&Tensor>,
    (gamma, beta): (&Tensor, &Tensor),
) -> Result<Tensor> {
    let kept = copy_of_variable(x, layout)?;
    let node = |inputs| Node {
        y: Once::of(y),
        inputs,
        kept,
        backward,
    };
    match residual {
        None => x.apply_op3(gamma, beta, node(Inputs::Affine)),
        Some(residual) => {
            let affine = if gamma.dtype() == beta.dtype() {
                Tensor::stack(&[gamma, beta], 0)?
            } else {
                let wide = compute_type("weight", gamma.dtype())?;
                Tensor::stack(&[gamma.to_dtype(wide)?, beta.to_dtype(wide)?], 0)?
            };
            x.apply_op3(residual, &affine, node(Inputs::Residual))
        }
    }
}

/// A copy of x where its memory is a variable's, which can be set before the gradients are asked for. (What an operation
/// made has memory of its own.)
fn copy_of_variable(x: &Tensor, layout: MemoryOrder) -> Result<Option<Tensor>> {
    if !is_in_a_variable(x) {
        return Ok(None);
    }
    let copy = to_memory_order(&x.detach(), layout)?.force_contiguous()?;
    to_logical_order(&copy, layout).map(Some)
}

/// Whether a tensor is a variable or a view of one. Of what candle tracks, that is: it does not tell whose memory a
/// detached tensor has.
fn is_in_a_variable(x: &Tensor) -> bool {
    let shared = |node: &&Tensor| node.is_variable() && place(node) == place(x);
    x.is_variable() || (x.track_op() && x.sorted_nodes().iter().any(shared))
}

/// Which memory a tensor is in.
fn place(tensor: &Tensor) -> *const Storage {
    let (storage, _) = tensor.storage_and_layout();
    std::ptr::from_ref(&*storage)
}

impl Once {
    fn of(computed: Computed) -> Self {
        Self {
            storage: Mutex::new(Some(computed.storage)),
            dims: computed.dims,
        }
    }

    /// What was computed, which there is once, and its shape.
    fn hand_over(&self) -> Result<(Storage, Shape)> {
        let mut storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        match storage.take() {
            Some(storage) => Ok((storage, Shape::from(self.dims.as_slice()))),
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
        let (y, shape) = self.y.hand_over()?;
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
        let (y, shape) = self.y.hand_over()?;
        Ok((on_cuda(y)?, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        second: &Tensor,
        third: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let x = self.kept.as_ref().unwrap_or(x);
        let d = self.backward.backward(x, dy)?;
        let of = |gradient| y.apply_op1(Gradient(Once::of(gradient)));
        let input = to_logical_order(&of(d.input)?, d.layout)?;
        // Of γ's and β's own types, as candle has gradients.
        let of_gamma = match self.inputs {
            Inputs::Affine => second.dtype(),
            Inputs::Residual => third.dtype(),
        };
        let gamma = of(d.gamma.in_type(of_gamma)?)?;
        let beta = of(d.beta.in_type(third.dtype())?)?;
        Ok(match self.inputs {
            Inputs::Affine => (Some(input), Some(gamma), Some(beta)),
            Inputs::Residual => {
                let affine = Tensor::stack(&[gamma, beta], 0)?;
                (Some(input), d.residual.map(of).transpose()?, Some(affine))
            }
        })
    }
}

/// A gradient, attached to y and so to all that it depends on: without that, a derivative of it would be nothing instead
/// of an error.
struct Gradient(Once);

impl CustomOp1 for Gradient {
    fn name(&self) -> &'static str {
        "batch-norm-gradient"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let (gradient, shape) = self.0.hand_over()?;
        Ok((on_cpu(gradient)?, shape))
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let (gradient, shape) = self.0.hand_over()?;
        Ok((on_cuda(gradient)?, shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Err(Error::BackwardNotSupported {
            op: "the gradients of batch norm (it has no second derivative; a gradient that is meant as a constant needs a detach)",
        }
        .bt())
    }
}
