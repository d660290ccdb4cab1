//! What a backward pass needs beside x, γ and β, and the backward pass itself on memory lent by whoever has it.

use super::gate::PassGate;
use crate::backend::{Backend, GradientSumsMut, InOut, Normalization, StatisticsSource};
use crate::running::BatchStatistics;
use crate::tensor::ChannelArray;
use crate::{Compute, Element, Error, Result, Shape};

/// What a forward pass leaves behind.
#[derive(Debug)]
pub(crate) struct Remembered<C: Compute, B: Backend> {
    pub(super) shape: Shape,
    pub(super) statistics: BatchStatistics<C, B>,
    pub(super) source: StatisticsSource,
    pub(super) gate: PassGate<B>,
    pub(super) has_residual: bool,
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
    /// x's shape.
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The statistics that x was normalized with.
    pub(crate) fn statistics(&self) -> &BatchStatistics<C, B> {
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
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<B::SliceMut<'_, T>>,
    ) -> Result<AffineGradients<C, B>> {
        if dresidual.is_some() && !self.has_residual {
            return Err(Error::Residual {
                found: "the gradient of a residual was asked for",
                needed: "the forward pass had none",
            });
        }
        let channels = self.shape.channels();
        let mut gamma = ChannelArray::zeros(backend, channels)?;
        let mut beta = ChannelArray::zeros(backend, channels)?;
        let normalization = Normalization {
            mean: self.statistics.mean.slice(),
            mean_low: self.statistics.mean_low.slice(),
            inv_std: self.statistics.inv_std.slice(),
            gamma: B::narrow(inputs.gamma),
            beta: B::narrow(inputs.beta),
        };
        let out = GradientSumsMut {
            gamma: gamma.slice_mut(),
            beta: beta.slice_mut(),
        };
        backend.backward::<T>(
            &self.shape,
            dy_to_dx,
            inputs.x,
            normalization,
            self.source,
            self.gate.lend(),
            dresidual,
            out,
        )?;
        Ok(AffineGradients { gamma, beta })
    }
}
