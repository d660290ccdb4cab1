//! The layer in candle's graph. candle attaches a result to its graph through an operation of three inputs and one
//! output; the result is computed before, where its errors are this crate's, and only handed over here.

use std::sync::Arc;

use candle_core::{CpuStorage, CudaStorage, CustomOp3, Layout, Result, Shape, Storage, Tensor};

use crate::candle::computed::Computed;
use crate::candle::double_backward::GradientOf;
use crate::candle::gradient::{AffineInput, Gone};
use crate::candle::memory::{on_cpu, on_cuda, to_logical_order, to_memory_order};
use crate::candle::once::Once;
use crate::candle::operation::Backward;
use crate::candle::value::compute_type;
use crate::shape::Layout as MemoryOrder;

/// y, and how to go back from it.
struct Node {
    y: Once,
    inputs: Inputs,
    /// x as it was, where the tensor itself may change before the gradients are asked for.
    kept: Option<Tensor>,
    backward: Arc<dyn Backward>,
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
    let mut affects = residual.into_iter().chain([x, gamma, beta]);
    let goes_backward = affects.any(Tensor::track_op);
    let kept = if goes_backward && may_be_set(x) {
        Some(copy_of(x, layout)?)
    } else {
        None
    };
    let node = |inputs| Node {
        y: Once::of(y),
        inputs,
        kept,
        backward: backward.into(),
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

/// In memory of its own.
fn copy_of(x: &Tensor, layout: MemoryOrder) -> Result<Tensor> {
    let copy = to_memory_order(&x.detach(), layout)?.force_contiguous()?;
    to_logical_order(&copy, layout)
}

/// Whether a tensor's memory may be a variable's, which can be set before the gradients are asked for: of a variable, or a view of one.
/// Of what candle does not track, a detached variable say, nobody knows. (What an operation made has memory of its own.)
fn may_be_set(x: &Tensor) -> bool {
    let shared = |node: &&Tensor| node.is_variable() && place(node) == place(x);
    x.is_variable() || !x.track_op() || x.sorted_nodes().iter().any(shared)
}

/// Which memory a tensor is in.
fn place(tensor: &Tensor) -> *const Storage {
    let (storage, _) = tensor.storage_and_layout();
    std::ptr::from_ref(&*storage)
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
        let d = self
            .backward
            .backward(self.kept.as_ref().unwrap_or(x), dy)?;
        // Of γ's and β's own types, as candle has gradients.
        let (affine, of_gamma) = match self.inputs {
            Inputs::Affine => (AffineInput::Gamma(second), second.dtype()),
            Inputs::Residual => (AffineInput::GammaAndBeta(third), third.dtype()),
        };
        let gone = Gone {
            backward: &self.backward,
            x,
            kept: self.kept.as_ref(),
            dy,
            y,
            affine,
        };
        let input = to_logical_order(&gone.attach(d.input, GradientOf::Input)?, d.layout)?;
        let gamma = gone.attach(d.gamma.in_type(of_gamma)?, GradientOf::Gamma)?;
        let beta = gone.attach(d.beta.in_type(third.dtype())?, GradientOf::Beta)?;
        let residual = |gradient| gone.attach(gradient, GradientOf::Residual);
        Ok(match self.inputs {
            Inputs::Affine => (Some(input), Some(gamma), Some(beta)),
            Inputs::Residual => {
                let affine = Tensor::stack(&[gamma, beta], 0)?;
                (
                    Some(input),
                    d.residual.map(residual).transpose()?,
                    Some(affine),
                )
            }
        })
    }
}
