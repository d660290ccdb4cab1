//! WHAT A PASS KEEPS for its backward pass, beside x; and the backward pass itself, on memory lent by whoever has it.

use std::fmt;

use crate::allocate::reserved;
use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::backend::activation::Activation;
use crate::backend::epilogue::ActivationBackward;
use crate::backend::memory::Memory;
use crate::backend::operands::{
    GradientSums, GradientSumsMut, InOut, Normalization, StatisticsSource,
};
use crate::backend::saved_activation::SavedActivation;
use crate::backend::steps::Steps;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::layer::ghost::Group;
use crate::layer::renormalization::SavedRenormalization;
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;
use crate::statistics::gradients::PooledGradients;

/// What is saved of an activation, owned.
pub(crate) type SavedOwned<T, B> = SavedActivation<<B as Steps>::Mask, <B as Memory>::Buffer<T>>;

/// What a forward pass leaves behind.
pub(crate) struct Saved<T: Element, B: Backend> {
    shape: Shape,
    source: StatisticsSource,
    activation: Activation,
    has_residual: bool,
    /// As it was: the layer's may have changed by the time of the backward pass.
    gamma: ChannelArray<T::Compute, B>,
    /// As γ.
    beta: ChannelArray<T::Compute, B>,
    groups: Vec<SavedGroup<T, B>>,
    /// Of each group.
    statistics: Vec<BatchStatistics<T::Compute, B>>,
}

/// Samples that were normalized together, and what their activation left.
struct SavedGroup<T: Element, B: Backend> {
    group: Group,
    activation: SavedOwned<T, B>,
    renormalized: Option<SavedRenormalization<T::Compute, B>>,
}

/// What a pass writes of a group.
pub(crate) struct OfGroup<'a, T: Element, B: Backend> {
    pub(crate) statistics: &'a mut BatchStatistics<T::Compute, B>,
    pub(crate) activation: &'a mut SavedOwned<T, B>,
    /// Where it is renormalized.
    pub(crate) renormalized: Option<&'a mut SavedRenormalization<T::Compute, B>>,
}

/// dγ and dβ, both (C,).
#[derive(Debug)]
pub(crate) struct ChannelGradients<C: Compute, B: Backend> {
    pub(crate) gamma: ChannelArray<C, B>,
    pub(crate) beta: ChannelArray<C, B>,
}

impl<T: Element, B: Backend> Saved<T, B> {
    /// Of no groups yet, with room for so many, and with copies of γ and β. The settings are the activation, and whether
    /// a residual was added.
    pub(crate) fn new(
        backend: &B,
        shape: Shape,
        source: StatisticsSource,
        groups: usize,
        (activation, has_residual): (Activation, bool),
        (gamma, beta): (B::Slice<'_, T::Compute>, B::Slice<'_, T::Compute>),
    ) -> Result<Self> {
        Ok(Self {
            shape,
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

    /// All gradients.
    ///
    /// # Errors
    /// [`Error::Residual`] if a residual's gradient is asked for where there was none, and as
    /// [`Backend::backward`].
    pub(crate) fn backward(
        &self,
        backend: &B,
        x: B::Slice<'_, T>,
        mut dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        mut dresidual: Option<B::SliceMut<'_, T>>,
    ) -> Result<ChannelGradients<T::Compute, B>> {
        self.check_residual_is_asked_for(dresidual.is_some())?;
        let (channels, groups) = (self.shape.channels(), self.groups.len());
        let mut sums = ChannelGradients::room(backend, groups * channels)?;
        for group in 0..groups {
            let range = group * channels..(group + 1) * channels;
            let (mut gamma, mut beta) = (sums.gamma.slice_mut(), sums.beta.slice_mut());
            let out = GradientSumsMut {
                gamma: B::subslice_mut::<T::Compute>(&mut gamma, range.clone())?,
                beta: B::subslice_mut::<T::Compute>(&mut beta, range)?,
            };
            self.backward_group(backend, group, &x, &mut dy_to_dx, dresidual.as_mut(), out)?;
        }
        for (index, saved) in self.groups.iter().enumerate() {
            if let Some(renormalized) = &saved.renormalized {
                let range = index * channels..(index + 1) * channels;
                let mut gamma = sums.gamma.slice_mut();
                let gamma = B::subslice_mut::<T::Compute>(&mut gamma, range.clone())?;
                let beta = sums.beta.slice();
                let beta = B::subslice::<T::Compute>(&beta, range)?;
                renormalized.finish_gradient_of_gamma(backend, gamma, beta)?;
            }
        }
        match groups {
            1 => Ok(sums),
            _ => self.total(backend, &sums),
        }
    }

    /// That no residual's gradient is asked for where there was no residual.
    pub(super) fn check_residual_is_asked_for(&self, is_asked_for: bool) -> Result<()> {
        if !is_asked_for || self.has_residual {
            return Ok(());
        }
        Err(Error::Residual {
            found: "the gradient of a residual was asked for",
            needed: "the forward pass had none",
        })
    }

    /// Σ dv·x̂ and Σ dv of a pass of one group, for sums over more than it.
    pub(crate) fn gradient_sums(
        &self,
        backend: &B,
        x: B::Slice<'_, T>,
        dy: B::Slice<'_, T>,
        out: GradientSumsMut<&mut [f64]>,
    ) -> Result<()> {
        let (with, activation) = (self.normalization(0), self.activation_backward(0));
        backend.backward_reduce_in_f64::<T>(&self.shape, dy, x, with, activation, out)
    }

    /// dγ and dβ of a pass of one group, from such sums.
    pub(crate) fn affine_gradients(
        &self,
        backend: &B,
        sums: &PooledGradients,
    ) -> Result<ChannelGradients<T::Compute, B>> {
        let [mut gamma, beta] = sums.to_arrays(backend)?;
        if let Some(renormalized) = &self.groups[0].renormalized {
            renormalized.finish_gradient_of_gamma(backend, gamma.slice_mut(), beta.slice())?;
        }
        Ok(ChannelGradients { gamma, beta })
    }

    /// dx, and the residual's gradient, of a pass of one group, by sums over more than it.
    pub(crate) fn backward_input(
        &self,
        backend: &B,
        x: B::Slice<'_, T>,
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<B::SliceMut<'_, T>>,
        sums: GradientSums<&[f64]>,
    ) -> Result<()> {
        self.check_residual_is_asked_for(dresidual.is_some())?;
        let (with, activation) = (self.normalization(0), self.activation_backward(0));
        let sums = self.is_of_batch().then_some(sums);
        backend.backward_input_in_f64::<T>(
            &self.shape,
            dy_to_dx,
            x,
            with,
            activation,
            sums,
            dresidual,
        )
    }

    fn activation_backward(&self, group: usize) -> ActivationBackward<&B::Mask, B::Slice<'_, T>> {
        let saved = self.groups[group].activation.as_ref();
        ActivationBackward {
            activation: self.activation,
            saved: saved.map_values(|v| B::as_slice::<T>(v)),
        }
    }

    fn backward_group(
        &self,
        backend: &B,
        index: usize,
        x: &B::Slice<'_, T>,
        dy_to_dx: &mut InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<&mut B::SliceMut<'_, T>>,
        out: GradientSumsMut<B::SliceMut<'_, T::Compute>>,
    ) -> Result<()> {
        let group = &self.groups[index].group;
        let dresidual = match dresidual {
            Some(dresidual) => Some(B::subslice_mut::<T>(dresidual, group.values.clone())?),
            None => None,
        };
        backend.backward::<T>(
            &group.shape,
            group.subslice_of::<T, B>(dy_to_dx)?,
            B::subslice::<T>(x, group.values.clone())?,
            self.normalization(index),
            self.source,
            self.activation_backward(index),
            dresidual,
            out,
        )
    }

    /// The sums over the groups. For each channel they are what step 4 calls dβ of the groups' sums as a dy of (groups,
    /// channels), so that every backend has them without an operation more.
    fn total(
        &self,
        backend: &B,
        groups: &ChannelGradients<T::Compute, B>,
    ) -> Result<ChannelGradients<T::Compute, B>> {
        let channels = self.shape.channels();
        let shape = Shape::channels_last(&[self.groups.len(), channels])?;
        let total = |sums: &ChannelArray<T::Compute, B>| {
            let mut total = ChannelGradients::room(backend, channels)?;
            let out = GradientSumsMut {
                gamma: total.gamma.slice_mut(),
                beta: total.beta.slice_mut(),
            };
            let (sums, with) = (sums.slice(), self.normalization(0));
            let activation = ActivationBackward::of(Activation::None);
            backend.backward_reduce::<T::Compute>(&shape, sums, sums, with, activation, out)?;
            Ok(total.beta)
        };
        Ok(ChannelGradients {
            gamma: total(&groups.gamma)?,
            beta: total(&groups.beta)?,
        })
    }

    fn normalization(&self, group: usize) -> Normalization<B::Slice<'_, T::Compute>> {
        let (gamma, beta) = match &self.groups[group].renormalized {
            Some(renormalized) => renormalized.affine(),
            None => (self.gamma.slice(), self.beta.slice()),
        };
        self.statistics[group].view().normalization(gamma, beta)
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

impl<C: Compute, B: Backend> ChannelGradients<C, B> {
    /// For a step to write.
    fn room(backend: &B, len: usize) -> Result<Self> {
        Ok(Self {
            gamma: ChannelArray::unspecified(backend, len)?,
            beta: ChannelArray::unspecified(backend, len)?,
        })
    }
}
