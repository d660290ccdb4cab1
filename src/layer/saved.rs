//! What a backward pass needs beside x, γ and β, and the backward pass itself on memory lent by whoever has it.

use crate::backend::Backend;
use crate::backend::operands::{Gate, GradientSumsMut, InOut, Normalization, StatisticsSource};
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::layer::ghost::Group;
use crate::layer::saved_mask::PassGate;
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;
use crate::tensor::ChannelArray;

/// What a forward pass leaves behind.
#[derive(Debug)]
pub(crate) struct Remembered<C: Compute, B: Backend> {
    shape: Shape,
    source: StatisticsSource,
    has_residual: bool,
    groups: Vec<Group>,
    /// Of each group.
    statistics: Vec<BatchStatistics<C, B>>,
    /// Of each group.
    gates: Vec<PassGate<B>>,
}

/// Σ dv·x̂ and Σ dv, both (C,).
#[derive(Debug)]
pub(crate) struct AffineGradients<C: Compute, B: Backend> {
    pub(crate) gamma: ChannelArray<C, B>,
    pub(crate) beta: ChannelArray<C, B>,
}

/// x, γ and β as they were in the forward pass.
#[derive(Debug)]
pub(crate) struct Inputs<'a, T: Element, B: Backend> {
    pub(crate) x: B::Slice<'a, T>,
    pub(crate) gamma: B::Slice<'a, T::Compute>,
    pub(crate) beta: B::Slice<'a, T::Compute>,
}

impl<C: Compute, B: Backend> Remembered<C, B> {
    /// Of no groups yet.
    pub(crate) fn new(shape: Shape, source: StatisticsSource, has_residual: bool) -> Self {
        Self {
            shape,
            source,
            has_residual,
            groups: vec![],
            statistics: vec![],
            gates: vec![],
        }
    }

    /// Adds the next group.
    pub(crate) fn add(
        &mut self,
        group: Group,
        statistics: BatchStatistics<C, B>,
        gate: PassGate<B>,
    ) {
        self.groups.push(group);
        self.statistics.push(statistics);
        self.gates.push(gate);
    }

    /// x's shape.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The statistics that each group was normalized with.
    pub(crate) fn statistics(&self) -> &[BatchStatistics<C, B>] {
        &self.statistics
    }

    /// Whether a residual was added.
    pub(crate) fn has_residual(&self) -> bool {
        self.has_residual
    }

    /// All gradients.
    ///
    /// # Errors
    /// [`Error::Residual`] if a residual's gradient is asked for where there was none, and as
    /// [`Backend::backward`].
    pub(crate) fn backward<T: Element<Compute = C>>(
        &self,
        backend: &B,
        inputs: &Inputs<'_, T, B>,
        mut dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        mut dresidual: Option<B::SliceMut<'_, T>>,
    ) -> Result<AffineGradients<C, B>> {
        if dresidual.is_some() && !self.has_residual {
            return Err(Error::Residual {
                found: "the gradient of a residual was asked for",
                needed: "the forward pass had none",
            });
        }
        let (channels, groups) = (self.shape.channels(), self.groups.len());
        let mut sums = AffineGradients::zeros(backend, groups * channels)?;
        for group in 0..groups {
            let range = group * channels..(group + 1) * channels;
            let (mut gamma, mut beta) = (sums.gamma.slice_mut(), sums.beta.slice_mut());
            let out = GradientSumsMut {
                gamma: B::part_mut(&mut gamma, range.clone())?,
                beta: B::part_mut(&mut beta, range)?,
            };
            self.backward_group(
                backend,
                group,
                inputs,
                &mut dy_to_dx,
                dresidual.as_mut(),
                out,
            )?;
        }
        match groups {
            1 => Ok(sums),
            _ => self.total(backend, inputs, &sums),
        }
    }

    fn backward_group<T: Element<Compute = C>>(
        &self,
        backend: &B,
        group: usize,
        inputs: &Inputs<'_, T, B>,
        dy_to_dx: &mut InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<&mut B::SliceMut<'_, T>>,
        out: GradientSumsMut<'_, B, C>,
    ) -> Result<()> {
        let (of, gate) = (&self.groups[group], self.gates[group].lend());
        let dresidual = match dresidual {
            Some(dresidual) => Some(B::part_mut(dresidual, of.values.clone())?),
            None => None,
        };
        backend.backward::<T>(
            &of.shape,
            of.part_of::<T, B>(dy_to_dx)?,
            B::part(&inputs.x, of.values.clone())?,
            self.normalization(group, inputs),
            self.source,
            gate,
            dresidual,
            out,
        )
    }

    /// The sums over the groups. For each channel they are what step 4 calls dβ of the groups' sums as a dy of (groups,
    /// channels), so that every backend has them without an operation more.
    fn total<T: Element<Compute = C>>(
        &self,
        backend: &B,
        inputs: &Inputs<'_, T, B>,
        groups: &AffineGradients<C, B>,
    ) -> Result<AffineGradients<C, B>> {
        let channels = self.shape.channels();
        let shape = Shape::channels_last(&[self.groups.len(), channels])?;
        let total = |sums: &ChannelArray<C, B>| {
            let mut total = AffineGradients::zeros(backend, channels)?;
            let out = GradientSumsMut {
                gamma: total.gamma.slice_mut(),
                beta: total.beta.slice_mut(),
            };
            let (sums, with) = (sums.slice(), self.normalization(0, inputs));
            backend.backward_reduce::<C>(&shape, sums, sums, with, Gate::Open, out)?;
            Ok(total.beta)
        };
        Ok(AffineGradients {
            gamma: total(&groups.gamma)?,
            beta: total(&groups.beta)?,
        })
    }

    fn normalization<'a, T: Element<Compute = C>>(
        &'a self,
        group: usize,
        inputs: &'a Inputs<'_, T, B>,
    ) -> Normalization<'a, B, C> {
        let statistics = &self.statistics[group];
        Normalization {
            mean: statistics.mean.slice(),
            mean_low: statistics.mean_low.slice(),
            inv_std: statistics.inv_std.slice(),
            gamma: B::narrow(inputs.gamma),
            beta: B::narrow(inputs.beta),
        }
    }
}

impl<C: Compute, B: Backend> AffineGradients<C, B> {
    fn zeros(backend: &B, len: usize) -> Result<Self> {
        Ok(Self {
            gamma: ChannelArray::zeros(backend, len)?,
            beta: ChannelArray::zeros(backend, len)?,
        })
    }
}
