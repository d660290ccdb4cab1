//! WHAT A PASS KEEPS for its backward pass, beside x.

use std::fmt;

use crate::allocate::reserved;
use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::backend::activation::Activation;
use crate::backend::batch::Batch;
use crate::backend::epilogue::ActivationBackward;
use crate::backend::kept::Kept;
use crate::backend::memory::Memory;
use crate::backend::operands::{Normalization, StatisticsSource};
use crate::backend::saved_activation::SavedActivation;
use crate::backend::steps::Steps;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::layer::ghost::Group;
use crate::layer::renormalization::SavedRenormalization;
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;

/// What is saved of an activation, owned.
pub(crate) type SavedOwned<T, B> = SavedActivation<<B as Steps>::Mask, <B as Memory>::Buffer<T>>;

/// What a forward pass leaves behind.
pub(crate) struct Saved<T: Element, B: Backend> {
    pub(super) shape: Shape,
    /// What of x was kept, if not all.
    pub(super) kept: Option<Kept>,
    pub(super) source: StatisticsSource,
    pub(super) activation: Activation,
    pub(super) has_residual: bool,
    /// As it was: the layer's may have changed by the time of the backward pass.
    pub(super) gamma: ChannelArray<T::Compute, B>,
    /// As γ.
    pub(super) beta: ChannelArray<T::Compute, B>,
    pub(super) groups: Vec<SavedGroup<T, B>>,
    /// Of each group.
    pub(super) statistics: Vec<BatchStatistics<T::Compute, B>>,
}

/// Samples that were normalized together, and what their activation left.
pub(super) struct SavedGroup<T: Element, B: Backend> {
    pub(super) group: Group,
    pub(super) activation: SavedOwned<T, B>,
    pub(super) renormalized: Option<SavedRenormalization<T::Compute, B>>,
}

/// What a pass writes of a group.
pub(crate) struct OfGroup<'a, T: Element, B: Backend> {
    pub(crate) statistics: &'a mut BatchStatistics<T::Compute, B>,
    pub(crate) activation: &'a mut SavedOwned<T, B>,
    /// Where it is renormalized.
    pub(crate) renormalized: Option<&'a mut SavedRenormalization<T::Compute, B>>,
}

impl<T: Element, B: Backend> Saved<T, B> {
    /// Of no groups yet, with room for so many, and with copies of γ and β. The settings are the activation, and whether
    /// a residual was added.
    pub(crate) fn new(
        backend: &B,
        batch: Batch<'_>,
        source: StatisticsSource,
        groups: usize,
        (activation, has_residual): (Activation, bool),
        (gamma, beta): (B::Slice<'_, T::Compute>, B::Slice<'_, T::Compute>),
    ) -> Result<Self> {
        Ok(Self {
            shape: *batch.shape,
            kept: batch.kept.cloned(),
            source,
            activation,
            has_residual,
            gamma: ChannelArray::copied(backend, gamma)?,
            beta: ChannelArray::copied(backend, beta)?,
            groups: reserved(groups)?,
            statistics: reserved(groups)?,
        })
    }

    /// How many groups there are.
    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// What a pass writes of each group, in order.
    pub(crate) fn each(&mut self) -> impl Iterator<Item = (&Group, OfGroup<'_, T, B>)> {
        let statistics = self.statistics.iter_mut();
        (self.groups.iter_mut().zip(statistics)).map(|(saved, statistics)| {
            let of_group = OfGroup {
                statistics,
                activation: &mut saved.activation,
                renormalized: saved.renormalized.as_mut(),
            };
            (&saved.group, of_group)
        })
    }

    /// Adds the next group.
    pub(crate) fn add(
        &mut self,
        group: Group,
        statistics: BatchStatistics<T::Compute, B>,
        activation: SavedOwned<T, B>,
        renormalized: Option<SavedRenormalization<T::Compute, B>>,
    ) {
        self.groups.push(SavedGroup {
            group,
            activation,
            renormalized,
        });
        self.statistics.push(statistics);
    }

    /// x's shape.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// That x, given once more, comes with what was kept of it before, or with nothing about that.
    pub(super) fn check_same_is_kept(&self, found: Option<&Kept>) -> Result<()> {
        match found {
            Some(found) if self.kept.as_ref() != Some(found) => Err(Error::Value {
                what: "what is kept of x in the backward pass",
                found: format!("something else than was kept before, {found:?}"),
                needed: "what was kept of it in the forward pass",
            }),
            _ => Ok(()),
        }
    }

    /// The statistics that each group was normalized with.
    pub(crate) fn statistics(&self) -> &[BatchStatistics<T::Compute, B>] {
        &self.statistics
    }

    /// Whether a residual was added.
    pub(crate) fn has_residual(&self) -> bool {
        self.has_residual
    }

    /// Whether the statistics are a batch's, which dx depends on.
    pub(super) fn is_of_batch(&self) -> bool {
        self.source == StatisticsSource::Batch
    }

    /// What a group was normalized with.
    pub(super) fn normalization(&self, group: usize) -> Normalization<B::Slice<'_, T::Compute>> {
        let (gamma, beta) = match &self.groups[group].renormalized {
            Some(renormalized) => renormalized.affine(),
            None => (self.gamma.slice(), self.beta.slice()),
        };
        self.statistics[group].view().normalization(gamma, beta)
    }

    /// How a group's activation goes backward.
    pub(super) fn activation_backward(
        &self,
        group: usize,
    ) -> ActivationBackward<&B::Mask, B::Slice<'_, T>> {
        let saved = self.groups[group].activation.as_ref();
        ActivationBackward {
            activation: self.activation,
            saved: saved.map_values(|v| B::as_slice::<T>(v)),
        }
    }
}

/// The data type, x's shape, and how many groups it was normalized in.
impl<T: Element, B: Backend> fmt::Display for Saved<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.groups.len();
        let plural = if groups == 1 { "" } else { "s" };
        write!(f, "{} {}, {groups} group{plural}", T::DTYPE, self.shape)
    }
}
