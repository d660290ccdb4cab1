//! The passes as nodes of burn's graph.

use std::sync::Arc;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients as GradientsOfGraph;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend};

use crate::operation::{BackwardPass, BothPasses, FusedBatchNorm, Trained};

/// The node of either pass. Its parents are x, γ and β.
#[derive(Debug)]
struct Node;

/// What a node keeps.
#[derive(Debug)]
struct State<B: Backend> {
    x: NodeId,
    gamma: NodeId,
    pass: Arc<dyn BackwardPass<B>>,
}

impl<B: Backend> Clone for State<B> {
    fn clone(&self) -> Self {
        Self {
            x: self.x,
            gamma: self.gamma,
            pass: Arc::clone(&self.pass),
        }
    }
}

impl<B: Backend> Backward<B, 3> for Node {
    type State = State<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        gradients: &mut GradientsOfGraph,
        checkpointer: &mut Checkpointer,
    ) {
        let dy = gradients.consume::<B>(&ops.node);
        let x = checkpointer.retrieve_node_output(ops.state.x);
        let gamma = checkpointer.retrieve_node_output(ops.state.gamma);
        let found = ops.state.pass.backward(x, gamma, dy);
        let of_parents = [found.x, found.gamma, found.beta];
        for (parent, gradient) in ops.parents.into_iter().zip(of_parents) {
            if let Some(parent) = parent {
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "burn has no public name for the tensor"
)]
/// A pass as a node: `forward` is given x, γ and β.
fn tracked<B: Backend, C: CheckpointStrategy, R>(
    [x, gamma, beta]: [FloatTensor<Autodiff<B, C>>; 3],
    forward: impl FnOnce([FloatTensor<B>; 3]) -> (FloatTensor<B>, Arc<dyn BackwardPass<B>>, R),
) -> (FloatTensor<Autodiff<B, C>>, R) {
    let prepared = Node.prepare::<C>([x.node(), gamma.node(), beta.node()]);
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(mut prepared) => {
            let nodes = (prepared.checkpoint(&x), prepared.checkpoint(&gamma));
            let (output, pass, rest) = forward([x, gamma, beta].map(|one| one.into_primitive()));
            let (x, gamma) = nodes;
            (prepared.finish(State { x, gamma, pass }, output), rest)
        }
        OpsKind::UnTracked(prepared) => {
            let (output, _, rest) = forward([x, gamma, beta].map(|one| one.into_primitive()));
            (prepared.finish(output), rest)
        }
    }
}

impl<B: BothPasses, C: CheckpointStrategy> FusedBatchNorm for Autodiff<B, C> {
    fn normalize_with_batch(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> Trained<Self> {
        let forward = |[x, gamma, beta]: [FloatTensor<B>; 3]| {
            let (trained, pass) = B::train(x, gamma, beta, epsilon);
            (trained.output, pass, (trained.mean, trained.variance))
        };
        let (output, (mean, variance)) = tracked::<B, C, _>([x, gamma, beta], forward);
        Trained {
            output,
            mean: Self::from_inner(mean),
            variance: Self::from_inner(variance),
        }
    }

    fn normalize_with_running(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let (mean, variance) = (mean.into_primitive(), variance.into_primitive());
        let forward = |[x, gamma, beta]: [FloatTensor<B>; 3]| {
            let (output, pass) = B::freeze(x, gamma, beta, mean, variance, epsilon);
            (output, pass, ())
        };
        tracked::<B, C, _>([x, gamma, beta], forward).0
    }
}
