//! The two forward passes with gradients, on memory lent by whoever has it.

use super::gate::PassGate;
use super::remembered::Remembered;
use crate::backend::{
    Affine, Backend, Epilogue, InOut, Normalization, StatisticsMut, StatisticsSource,
};
use crate::running::BatchStatistics;
use crate::{Activation, BatchNormConfig, Element, Error, Result, Shape};

/// The settings and the memory of a forward pass.
#[derive(Debug)]
pub(crate) struct Forward<'a, T: Element, B: Backend> {
    pub(crate) backend: &'a B,
    pub(crate) config: &'a BatchNormConfig,
    pub(crate) shape: Shape,
    pub(crate) x: B::Slice<'a, T>,
    pub(crate) gamma: B::Slice<'a, T::Compute>,
    pub(crate) beta: B::Slice<'a, T::Compute>,
    pub(crate) residual: Option<B::Slice<'a, T>>,
    pub(crate) y: B::SliceMut<'a, T>,
}

impl<T: Element, B: Backend> Forward<'_, T, B> {
    /// Normalizes with the batch's statistics.
    ///
    /// # Errors
    /// [`Error::Channels`], [`Error::TooFewValues`] for one value per channel, [`Error::Epsilon`] for ε = 0.
    pub(crate) fn training(self) -> Result<Remembered<T::Compute, B>> {
        check_channels(self.config, &self.shape)?;
        self.shape.check_batch_statistics()?;
        self.config.check_epsilon_for_batch_statistics()?;
        let has_residual = self.residual.is_some();
        let mut statistics = BatchStatistics::zeros(
            self.backend,
            self.shape.channels(),
            self.shape.values_per_channel(),
        )?;
        let mut gate = self.gate()?;
        if !self.shape.is_empty() {
            let affine = Affine {
                gamma: self.gamma,
                beta: self.beta,
                epsilon: self.config.epsilon_value(),
            };
            let epilogue = epilogue(
                self.config.activation_kind(),
                self.residual.map(B::narrow),
                gate.mask_mut(),
            );
            let out = StatisticsMut {
                mean: statistics.mean.slice_mut(),
                mean_low: statistics.mean_low.slice_mut(),
                variance: statistics.variance.slice_mut(),
                inv_std: statistics.inv_std.slice_mut(),
            };
            self.backend.forward_training::<T>(
                &self.shape,
                self.x,
                affine,
                epilogue,
                self.y,
                out,
            )?;
        }
        Ok(Remembered {
            shape: self.shape,
            statistics,
            source: StatisticsSource::Batch,
            gate,
            has_residual,
        })
    }

    /// Normalizes with running statistics, as constants.
    ///
    /// # Errors
    /// [`Error::Channels`].
    pub(crate) fn frozen(
        self,
        running: BatchStatistics<T::Compute, B>,
    ) -> Result<Remembered<T::Compute, B>> {
        check_channels(self.config, &self.shape)?;
        let has_residual = self.residual.is_some();
        let mut gate = self.gate()?;
        let with = Normalization {
            mean: running.mean.slice(),
            mean_low: running.mean_low.slice(),
            inv_std: running.inv_std.slice(),
            gamma: B::narrow(self.gamma),
            beta: B::narrow(self.beta),
        };
        let epilogue = epilogue(
            self.config.activation_kind(),
            self.residual.map(B::narrow),
            gate.mask_mut(),
        );
        let x_to_y = InOut::Separate(self.x, self.y);
        self.backend
            .normalize::<T>(&self.shape, x_to_y, with, epilogue)?;
        Ok(Remembered {
            shape: self.shape,
            statistics: running,
            source: StatisticsSource::Running,
            gate,
            has_residual,
        })
    }

    fn gate(&self) -> Result<PassGate<B>> {
        let activation = self.config.activation_kind();
        PassGate::of(
            self.backend,
            &self.shape,
            activation,
            self.residual.is_some(),
        )
    }
}

/// Checks that an input has the layer's channels.
pub(crate) fn check_channels(config: &BatchNormConfig, shape: &Shape) -> Result<()> {
    if shape.channels() == config.channels() {
        return Ok(());
    }
    Err(Error::Channels {
        found: shape.channels(),
        needed: config.channels(),
    })
}

/// What is done to the normalized values.
pub(crate) fn epilogue<'a, T: Element, B: Backend>(
    activation: Activation,
    residual: Option<B::Slice<'a, T>>,
    mask: Option<&'a mut B::Mask>,
) -> Epilogue<'a, B, T> {
    match (activation, residual) {
        (Activation::None, None) => Epilogue::None,
        (Activation::None, Some(residual)) => Epilogue::Add(residual),
        (Activation::Relu, None) => Epilogue::Relu,
        (Activation::Relu, Some(residual)) => Epilogue::AddRelu(residual, mask),
    }
}
