//! The two forward passes with gradients, on memory lent by whoever has it.

use crate::backend::Backend;
use crate::backend::operands::{
    Affine, Epilogue, InOut, Normalization, StatisticsMut, StatisticsSource,
};
use crate::config::{Activation, BatchNormConfig};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::layer::ghost::Group;
use crate::layer::saved::Remembered;
use crate::layer::saved_mask::PassGate;
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;
use crate::statistics::running::RunningStatistics;

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
    /// Normalizes with the statistics of the batch, or of groups of `ghost_batch` samples, and has the running statistics
    /// follow them if they are given.
    ///
    /// # Errors
    /// [`Error::Channels`], [`Error::TooFewValues`] for one value per channel, [`Error::Epsilon`] for ε = 0.
    pub(crate) fn training(
        mut self,
        ghost_batch: Option<usize>,
        mut running: Option<&mut RunningStatistics<T::Compute, B>>,
    ) -> Result<Remembered<T::Compute, B>> {
        check_channels(self.config, &self.shape)?;
        self.config.check_epsilon_for_batch_statistics()?;
        let groups = match ghost_batch {
            Some(size) => Group::split(&self.shape, size),
            None => vec![Group::whole(&self.shape)],
        };
        for group in &groups {
            group.shape.check_batch_statistics()?;
        }
        let mut remembered =
            Remembered::new(self.shape, StatisticsSource::Batch, self.residual.is_some());
        for group in groups {
            self.training_group(group, running.as_deref_mut(), &mut remembered)?;
        }
        Ok(remembered)
    }

    fn training_group(
        &mut self,
        group: Group,
        mut running: Option<&mut RunningStatistics<T::Compute, B>>,
        remembered: &mut Remembered<T::Compute, B>,
    ) -> Result<()> {
        let (shape, range) = (&group.shape, group.values.clone());
        let mut statistics =
            BatchStatistics::zeros(self.backend, shape.channels(), shape.values_per_channel())?;
        let mut gate = self.gate(shape)?;
        if shape.is_empty() {
            if let Some(running) = running {
                running.count();
            }
            remembered.add(group, statistics, gate);
            return Ok(());
        }
        let affine = Affine {
            gamma: B::narrow(self.gamma),
            beta: B::narrow(self.beta),
            epsilon: self.config.epsilon_value(),
        };
        let residual = match &self.residual {
            Some(residual) => Some(B::part(residual, range.clone())?),
            None => None,
        };
        let epilogue = epilogue(self.config.activation_kind(), residual, gate.mask_mut());
        let out = StatisticsMut {
            mean: statistics.mean.slice_mut(),
            mean_low: statistics.mean_low.slice_mut(),
            variance: statistics.variance.slice_mut(),
            inv_std: statistics.inv_std.slice_mut(),
            running: running
                .as_deref_mut()
                .map(|running| running.lend_to_follow(self.config, shape.values_per_channel())),
        };
        let x = B::part(&self.x, range.clone())?;
        let y = B::part_mut(&mut self.y, range)?;
        self.backend
            .forward_training::<T>(shape, x, affine, epilogue, y, out)?;
        if let Some(running) = running {
            running.count();
        }
        remembered.add(group, statistics, gate);
        Ok(())
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
        let mut remembered = Remembered::new(
            self.shape,
            StatisticsSource::Running,
            self.residual.is_some(),
        );
        let mut gate = self.gate(&self.shape)?;
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
        remembered.add(Group::whole(&self.shape), running, gate);
        Ok(remembered)
    }

    fn gate(&self, shape: &Shape) -> Result<PassGate<B>> {
        let activation = self.config.activation_kind();
        PassGate::of::<T>(self.backend, shape, activation, self.residual.is_some())
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
