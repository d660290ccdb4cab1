//! Passes of several layers that share one exchange: branches of a network whose inputs are known at the same time.

use crate::arrays::tensor::Tensor;
use crate::arrays::view::Data;
use crate::backend::Backend;
use crate::backend::operands::StatisticsSource;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::layer::gradients::{GradientRoom, Gradients};
use crate::statistics::gradients::PooledGradients;
use crate::synchronized::SyncBatchNorm;
use crate::synchronized::exchange::exchange;
use crate::synchronized::message::Call;
use crate::synchronized::pass::{Form, Output, SharedPass, SyncPass};
use crate::synchronized::training::with_output;
use crate::synchronized::transport::Transport;

/// A layer, its input, and a residual that is added before its activation, for a pass that several layers share.
pub type LayerInput<'a, T, X, B, R> = (
    &'a mut SyncBatchNorm<B, R, <T as Element>::Compute>,
    X,
    Option<&'a dyn Data<B, Element = T>>,
);

/// Room for a layer's output, or why there is none, its input and its residual.
type Given<'a, T, X, B> = (
    Result<Tensor<T, B>>,
    X,
    Option<&'a dyn Data<B, Element = T>>,
);

impl<B: Backend, R: Transport + Clone, C: Compute> SyncBatchNorm<B, R, C> {
    /// [`forward_training`](Self::forward_training) of several layers in one collective, that of the first layer's ranks: all ranks
    /// call it with the same layers in the same order. The bits are those of each layer by itself.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, SyncBatchNorm, SyncPass, Tensor, ThreadRank};
    /// let cpu = Cpu::new();
    /// let rank = &ThreadRank::connect(1, std::time::Duration::from_secs(1))[0];
    /// let layer = |channels| SyncBatchNorm::new(BatchNorm::new(&cpu, BatchNormConfig::new(channels))?, rank);
    /// let (mut branch, mut shortcut) = (layer(2)?, layer(1)?);
    /// let x = Tensor::new(&cpu, Shape::channels_first(&[2, 2])?, &[1.0f32, 2.0, 3.0, 4.0])?;
    /// let z = Tensor::new(&cpu, Shape::channels_first(&[3, 1])?, &[0.0f32, 1.0, 5.0])?;
    ///
    /// let layers = vec![(&mut branch, &x, None), (&mut shortcut, &z, None)];
    /// let outputs = SyncBatchNorm::forward_training_together(layers)?;
    /// let passes: Vec<_> = outputs.iter().map(|(y, pass)| (pass, y)).collect();
    /// let gradients = SyncPass::backward_together(&passes)?;
    /// assert_eq!(gradients[1].input.shape(), z.shape());
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training), of any of the layers: then no layer's running statistics have changed.
    /// [`Error::RankFailed`] for layers that are connected otherwise than the first.
    pub fn forward_training_together<T, X>(
        inputs: Vec<LayerInput<'_, T, X, B, R>>,
    ) -> Result<Vec<Output<T, X, B, R>>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let (mut layers, mut given) = (vec![], vec![]);
        for (layer, x, residual) in inputs {
            given.push((layer.layer.output_for(&x), x, residual));
            layers.push(layer);
        }
        let Some(first) = layers.first() else {
            return Ok(vec![]);
        };
        let outputs = if first.is_alone() {
            let passes = layers.iter().zip(given);
            let defer = |(layer, (y, x, residual)): (&&mut Self, Given<'_, T, X, B>)| {
                with_output(y, |y| layer.defer(x, residual, y))
            };
            passes.map(defer).collect::<Result<Vec<_>>>()?
        } else {
            normalize_parts(&layers, given)?
        };
        for (layer, (_, pass)) in layers.iter_mut().zip(&outputs) {
            layer.layer.follow(pass.statistics())?;
        }
        Ok(outputs)
    }
}

/// Each layer's pass of this rank's part, with statistics that the ranks exchange together.
fn normalize_parts<T, X, B, R, C>(
    layers: &[&mut SyncBatchNorm<B, R, C>],
    mut given: Vec<Given<'_, T, X, B>>,
) -> Result<Vec<Output<T, X, B, R>>>
where
    T: Element<Compute = C>,
    X: Data<B, Element = T>,
    B: Backend,
    R: Transport + Clone,
    C: Compute,
{
    let ranks = &layers[0].ranks;
    let channels: Vec<usize> = layers.iter().map(|layer| layer.agreed.channels()).collect();
    let (prepared, messages) = exchange(ranks, Call::Forward, &channels, |message| -> Result<_> {
        let mut prepared = vec![];
        for (index, (layer, (y, x, residual))) in layers.iter().zip(&mut given).enumerate() {
            let told = message.layer(index);
            check_same_ranks(ranks, &layer.ranks)?;
            let forward = layer.tell_part(told, x, *residual)?;
            y.as_mut().map_err(|error| error.clone())?;
            let forward = forward.against(layer.layer.reference()?);
            let room = forward.room_for_given(StatisticsSource::Batch)?;
            prepared.push((forward, room));
        }
        Ok(prepared)
    })?;
    let whole = |(index, layer): (usize, &&mut SyncBatchNorm<B, R, C>)| {
        layer.whole_statistics(&messages, index)
    };
    let statistics = layers
        .iter()
        .enumerate()
        .map(whole)
        .collect::<Result<Vec<_>>>()?;
    let mut outputs = vec![];
    let passes = layers.iter().zip(given).zip(prepared).zip(statistics);
    for (((layer, (y, x, _)), (forward, room)), statistics) in passes {
        let mut y = y?;
        let part = layer
            .layer
            .normalize_part(x, &forward, &mut y, statistics, room)?;
        outputs.push((y, SyncPass::of_part(part, ranks, layer.sums_gradients)));
    }
    Ok(outputs)
}

/// What a rank has done of a layer's backward pass before the exchange.
enum BeforeExchange<'p, T: Element, X: Data<B>, B: Backend, R: Transport> {
    /// All of it: nothing of the others is needed.
    All(Gradients<T, B>),
    /// Its sums, told as those of a layer, and room for what is to be written.
    Sums {
        pass: &'p SharedPass<X, B, R>,
        layer: usize,
        local: PooledGradients,
        room: GradientRoom<T, B>,
    },
}

impl<X: Data<B>, B: Backend, R: Transport + Clone> SyncPass<X, B, R> {
    /// [`backward`](Self::backward) of several layers' passes, each from its dy, in one collective: all ranks call it with passes of
    /// the same layers in the same order. The bits are those of each pass by itself.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), of any of the passes. [`Error::RankFailed`] for passes that are connected otherwise than
    /// the first.
    pub fn backward_together<T, D>(passes: &[(&Self, &D)]) -> Result<Vec<Gradients<T, B>>>
    where
        T: Element,
        X: Data<B, Element = T>,
        D: Data<B, Element = T>,
    {
        let shared = passes.iter().filter_map(|(pass, _)| pass.shared());
        let channels: Vec<usize> = shared.map(|pass| pass.part.channels()).collect();
        let mut shared = passes.iter().filter_map(|(pass, _)| pass.shared());
        let Some(ranks) = shared.next().map(|first| &first.ranks) else {
            return passes.iter().map(|(pass, dy)| pass.backward(*dy)).collect();
        };
        let (begun, messages) =
            exchange(ranks, Call::Backward, &channels, |message| -> Result<_> {
                let (mut begun, mut layer) = (vec![], 0);
                for &(pass, dy) in passes {
                    begun.push(match pass.form() {
                        Form::Alone(pass) => BeforeExchange::All(pass.backward(dy)?),
                        Form::Shared(pass) => {
                            let told = message.layer(layer);
                            check_same_ranks(ranks, &pass.ranks)?;
                            let local = pass.tell(told, dy)?;
                            let room = pass.part.room()?;
                            layer += 1;
                            BeforeExchange::Sums {
                                pass,
                                layer: layer - 1,
                                local,
                                room,
                            }
                        }
                    });
                }
                Ok(begun)
            })?;
        let end = |((_, dy), begun): (&(&Self, &D), _)| match begun {
            BeforeExchange::All(gradients) => Ok(gradients),
            BeforeExchange::Sums {
                pass,
                layer,
                local,
                room,
            } => pass.backward(*dy, room, &pass.with_whole(local, &messages, layer)?),
        };
        passes.iter().zip(begun).map(end).collect()
    }

    /// The pass, if it needs the others.
    fn shared(&self) -> Option<&SharedPass<X, B, R>> {
        match self.form() {
            Form::Alone(_) => None,
            Form::Shared(pass) => Some(pass),
        }
    }
}

/// That layers that share an exchange are connected alike.
fn check_same_ranks(first: &impl Transport, other: &impl Transport) -> Result<()> {
    let of = |ranks: &dyn Transport| (ranks.rank(), ranks.world());
    let ((rank, world), found) = (of(first), of(other));
    if found == (rank, world) {
        return Ok(());
    }
    Err(Error::Value {
        what: "a layer that shares an exchange",
        found: format!("rank {} of {}", found.0, found.1),
        needed: "that of the first layer's rank, of the same ranks",
    })
}
