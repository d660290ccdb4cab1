//! The gradients in candle's graph, each as an operation on what it depends on, so that it can be differentiated again where candle keeps
//! a graph of gradients; where it does not, or where there is no derivative, that is an error instead of nothing.

use std::cell::Cell;
use std::sync::Arc;

use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp3, Device, Error, Layout, Result, Shape, Tensor,
    Var,
};

use crate::candle::computed::Computed;
use crate::candle::double_backward::GradientOf;
use crate::candle::memory::{on_cpu, on_cuda, to_logical_order};
use crate::candle::once::Once;
use crate::candle::operation::Backward;

/// A pass that has gone backward.
pub(super) struct Gone<'a> {
    pub(super) backward: &'a Arc<dyn Backward>,
    /// In candle's graph.
    pub(super) x: &'a Tensor,
    /// x as it was, where the tensor itself may change.
    pub(super) kept: Option<&'a Tensor>,
    /// In memory order, as y.
    pub(super) dy: &'a Tensor,
    pub(super) y: &'a Tensor,
    pub(super) affine: AffineInput<'a>,
}

/// What of a node's inputs γ is.
#[derive(Clone, Copy)]
pub(super) enum AffineInput<'a> {
    Gamma(&'a Tensor),
    /// γ and β as one (2, C) tensor.
    GammaAndBeta(&'a Tensor),
}

impl AffineInput<'_> {
    fn tensor(&self) -> &Tensor {
        match self {
            AffineInput::Gamma(tensor) | AffineInput::GammaAndBeta(tensor) => tensor,
        }
    }
}

impl Gone<'_> {
    /// One of its gradients, in candle's graph.
    pub(super) fn attach(&self, gradient: Computed, of: GradientOf) -> Result<Tensor> {
        let once = Once::of(gradient);
        if !keeps_graph_of_gradients()? {
            // Attached to y and so to all that it depends on.
            let why = "the gradients of batch norm (candle keeps no graph of gradients unless CANDLE_GRAD_DO_NOT_DETACH=1 is in the environment; a gradient that is meant as a constant needs a detach)";
            return self.y.apply_op1(Last { once, why });
        }
        let node = Gradient {
            once,
            of,
            backward: Arc::clone(self.backward),
            kept: self.kept.cloned(),
            with_beta: matches!(self.affine, AffineInput::GammaAndBeta(_)),
        };
        self.x.apply_op3(self.dy, self.affine.tensor(), node)
    }
}

/// Whether candle's gradients are in its graph, on this thread: then that of a view is. candle asks the environment once a thread, and is
/// asked as often.
fn keeps_graph_of_gradients() -> Result<bool> {
    thread_local! {
        static KNOWN: Cell<Option<bool>> = const { Cell::new(None) };
    }
    if let Some(keeps) = KNOWN.get() {
        return Ok(keeps);
    }
    let x = Var::new(&[1f32], &Device::Cpu)?;
    let gradients = x.reshape((1, 1))?.sqr()?.sum_all()?.backward()?;
    let keeps = gradients.get(&x).is_some_and(Tensor::track_op);
    KNOWN.set(Some(keeps));
    Ok(keeps)
}

/// A gradient, as an operation on x, dy and γ.
struct Gradient {
    once: Once,
    of: GradientOf,
    backward: Arc<dyn Backward>,
    kept: Option<Tensor>,
    /// Whether γ comes with β, as one (2, C) tensor.
    with_beta: bool,
}

impl CustomOp3 for Gradient {
    fn name(&self) -> &'static str {
        "batch-norm-gradient"
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
        let (gradient, shape) = self.once.hand_over()?;
        Ok((on_cpu(gradient)?, shape))
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
        let (gradient, shape) = self.once.hand_over()?;
        Ok((on_cuda(gradient)?, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        dy: &Tensor,
        affine: &Tensor,
        gradient: &Tensor,
        of_gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let x = self.kept.as_ref().unwrap_or(x);
        let second = self.backward.double_backward(x, dy, self.of, of_gradient)?;
        let attach = |computed| {
            let why = "the second derivatives of batch norm (it has no third; one that is meant as a constant needs a detach)";
            let once = Once::of(computed);
            gradient.apply_op1(Last { once, why })
        };
        let input = to_logical_order(&attach(second.input)?, second.layout)?;
        let mut of_affine = attach(second.gamma.in_type(affine.dtype())?)?;
        if self.with_beta {
            of_affine = Tensor::stack(&[&of_affine, &of_affine.zeros_like()?], 0)?;
        }
        Ok((Some(input), Some(attach(second.dy)?), Some(of_affine)))
    }
}

/// A gradient that cannot be differentiated. As an operation on what it depends on, for otherwise a derivative of it would be nothing
/// instead of an error.
struct Last {
    once: Once,
    why: &'static str,
}

impl CustomOp1 for Last {
    fn name(&self) -> &'static str {
        "batch-norm-last-gradient"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let (gradient, shape) = self.once.hand_over()?;
        Ok((on_cpu(gradient)?, shape))
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let (gradient, shape) = self.once.hand_over()?;
        Ok((on_cuda(gradient)?, shape))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        Err(Error::BackwardNotSupported { op: self.why }.bt())
    }
}
