//! THE ONE FORWARD PATH: training, frozen and inference, on memory lent by whoever has it.

use crate::allocate::filled;
use crate::backend::Backend;
use crate::backend::batch::Batch;
use crate::backend::composed;
use crate::backend::epilogue::Epilogue;
use crate::backend::from_output::{check_gamma, check_has_inverse};
use crate::backend::kept::Kept;
use crate::backend::operands::{Affine, InOut, StatisticsSource};
use crate::backend::saved_activation::SavedActivation;
use crate::config::BatchNormConfig;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::layer::ghost::Group;
use crate::layer::renormalization::{Reference, SavedRenormalization};
use crate::layer::saved::{OfGroup, Saved, SavedOwned};
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;
use crate::statistics::running::RunningStatistics;

/// The settings of a forward pass and what it reads beside x.
#[derive(Debug)]
pub(crate) struct Forward<'a, T: Element, B: Backend> {
    pub(crate) backend: &'a B,
    pub(crate) config: &'a BatchNormConfig,
    pub(crate) shape: Shape,
    /// What of x is kept, if not all.
    pub(crate) kept: Option<Kept>,
    pub(crate) gamma: B::Slice<'a, T::Compute>,
    pub(crate) beta: B::Slice<'a, T::Compute>,
    pub(crate) residual: Option<B::Slice<'a, T>>,
    /// Where the batch is renormalized.
    pub(crate) reference: Option<Reference<T::Compute, B>>,
    /// Whether the pass keeps y in x's place.
    pub(crate) keeps_output: bool,
}

/// What a pass with given statistics leaves behind, to be written.
pub(crate) struct GivenRoom<T: Element, B: Backend> {
    saved: Saved<T, B>,
    activation: SavedOwned<T, B>,
    renormalized: Option<SavedRenormalization<T::Compute, B>>,
}

impl<T: Element, B: Backend> Forward<'_, T, B> {
    /// The same pass, with the batch renormalized.
    pub(crate) fn against(self, reference: Option<Reference<T::Compute, B>>) -> Self {
        Self { reference, ..self }
    }

    /// The same pass, which keeps y in x's place: with the statistics of the batch, or with these.
    ///
    /// # Errors
    /// [`Error::Value`] for an activation, or a γ, that has no inverse, and where γ·inv_std can be beyond the parameters' type.
    pub(crate) fn keeping_output(
        self,
        statistics: Option<&BatchStatistics<T::Compute, B>>,
    ) -> Result<Self> {
        check_has_inverse(self.config.activation_kind())?;
        let gamma = B::shorten::<T::Compute>(self.gamma);
        let gamma = self.backend.download::<T::Compute>(gamma)?;
        if let Some(statistics) = statistics {
            let inv_std = statistics.inv_std().to_vec()?;
            check_gamma(&gamma, 1.0, |c| inv_std[c].to_f64())?;
        } else {
            let r_max = self.reference.as_ref().map_or(1.0, Reference::r_max);
            let largest = self.config.epsilon_value().sqrt().recip();
            check_gamma(&gamma, r_max, |_| largest)?;
        }
        Ok(Self {
            keeps_output: true,
            ..self
        })
    }

    /// Normalizes with the statistics of the batch, or of groups of `ghost_batch` samples, and has the running statistics
    /// follow them if they are given.
    ///
    /// # Errors
    /// [`Error::Channels`], [`Error::ChannelAxis`], [`Error::TooFewValues`] for one value per channel, [`Error::Epsilon`] for ε = 0.
    pub(crate) fn training(
        &self,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        ghost_batch: Option<usize>,
        running: Option<&mut RunningStatistics<T::Compute, B>>,
    ) -> Result<Saved<T, B>> {
        check_input_channels(self.config, &self.shape)?;
        self.config.check_epsilon_for_batch_statistics()?;
        // Before memory is asked for in proportion to what the shape says.
        self.check_lengths(&x_to_y)?;
        let mut saved = self.room_for_groups(ghost_batch)?;
        match running {
            // A later group can fail when earlier ones have been followed.
            Some(running) if saved.groups() > 1 => {
                let mut followed = running.try_clone()?;
                self.training_groups(x_to_y, Some(&mut followed), &mut saved)?;
                *running = followed;
            }
            running => self.training_groups(x_to_y, running, &mut saved)?,
        }
        Ok(saved)
    }

    fn check_lengths(&self, x_to_y: &InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>) -> Result<()> {
        let check_written = |what, written| {
            let found = B::len::<T>(&B::reborrow::<T>(written));
            self.shape.check_len(what, found)
        };
        match x_to_y {
            InOut::Separate(x, y) => {
                self.shape.check_len("x", B::len::<T>(x))?;
                check_written("y", y)
            }
            InOut::InPlace(both) => check_written("x", both),
        }
    }

    /// All memory that the groups leave something in, so that a pass that has begun does not end for want of it.
    fn room_for_groups(&self, ghost_batch: Option<usize>) -> Result<Saved<T, B>> {
        let groups = match ghost_batch {
            Some(size) => Group::split(self.batch(), size)?,
            None => filled(1, Group::whole(self.batch()))?,
        };
        for group in &groups {
            group.batch().check_batch_statistics()?;
        }
        let mut saved = self.nothing_saved(StatisticsSource::Batch, groups.len())?;
        for group in groups {
            let statistics = BatchStatistics::room(self.backend, group.batch())?;
            let activation = self.saved_activation(&group.shape)?;
            let renormalized = self.room_for_renormalized()?;
            saved.add(group, statistics, activation, renormalized);
        }
        Ok(saved)
    }

    fn training_groups(
        &self,
        mut x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        mut running: Option<&mut RunningStatistics<T::Compute, B>>,
        saved: &mut Saved<T, B>,
    ) -> Result<()> {
        for (group, of_group) in saved.each() {
            let x_to_y = group.subslice_of::<T, B>(&mut x_to_y)?;
            self.training_group(group, x_to_y, running.as_deref_mut(), of_group)?;
        }
        Ok(())
    }

    fn training_group(
        &self,
        group: &Group,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        mut running: Option<&mut RunningStatistics<T::Compute, B>>,
        of_group: OfGroup<'_, T, B>,
    ) -> Result<()> {
        let OfGroup {
            statistics,
            activation,
            renormalized,
        } = of_group;
        let batch = group.batch();
        let count = batch.count();
        if count > 0 {
            let affine = Affine {
                gamma: B::shorten::<T::Compute>(self.gamma),
                beta: B::shorten::<T::Compute>(self.beta),
                epsilon: self.config.epsilon_value(),
            };
            let residual = match &self.residual {
                Some(residual) => Some(B::subslice::<T>(residual, group.values.clone())?),
                None => None,
            };
            let followed = running.as_deref_mut();
            let followed = followed.map(|running| running.view_mut(self.config, batch.weight()));
            let (epilogue, out) = (
                self.epilogue(residual, activation),
                statistics.view_mut(followed),
            );
            let reference = self.reference.as_ref().map(Reference::view);
            let renormalized = renormalized.map(SavedRenormalization::view_mut);
            match (x_to_y, reference.zip(renormalized)) {
                (InOut::InPlace(x_to_y), both) => {
                    let (reference, renormalized) = both.unzip();
                    composed::forward_training_in_place::<B, T>(
                        self.backend,
                        &group.shape,
                        x_to_y,
                        affine,
                        reference,
                        renormalized,
                        epilogue,
                        out,
                    )?;
                }
                (InOut::Separate(x, y), Some((reference, renormalized))) => {
                    self.backend.forward_renormalized::<T>(
                        batch,
                        x,
                        affine,
                        reference,
                        epilogue,
                        y,
                        out,
                        renormalized,
                    )?;
                }
                (InOut::Separate(x, y), None) => {
                    self.backend
                        .forward_training::<T>(batch, x, affine, epilogue, y, out)?;
                }
            }
        } else if !group.shape.is_empty() {
            self.write_zeros(group, x_to_y, statistics, activation)?;
        }
        if let Some(running) = running {
            running.count(self.config, count);
        }
        Ok(())
    }

    /// Writes y where nothing is kept of x, and what is saved of it.
    fn write_zeros(
        &self,
        group: &Group,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        statistics: &BatchStatistics<T::Compute, B>,
        activation: &mut SavedOwned<T, B>,
    ) -> Result<()> {
        let gamma = B::shorten::<T::Compute>(self.gamma);
        let beta = B::shorten::<T::Compute>(self.beta);
        let with = statistics.view().normalization(gamma, beta);
        let residual = match &self.residual {
            Some(residual) => Some(B::subslice::<T>(residual, group.values.clone())?),
            None => None,
        };
        let epilogue = self.epilogue(residual, activation);
        self.backend
            .normalize::<T>(group.batch(), x_to_y, with, epilogue)
    }

    /// Normalizes with running statistics, as constants.
    ///
    /// # Errors
    /// [`Error::Channels`].
    pub(crate) fn frozen(
        &self,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        running: BatchStatistics<T::Compute, B>,
    ) -> Result<Saved<T, B>> {
        let room = self.room_for_given(StatisticsSource::Running)?;
        self.given(x_to_y, running, room)
    }

    /// Normalizes with statistics that are given: running ones, as constants, or those of a batch that this is a part of.
    ///
    /// # Errors
    /// [`Error::Channels`].
    pub(crate) fn given(
        &self,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        statistics: BatchStatistics<T::Compute, B>,
        room: GivenRoom<T, B>,
    ) -> Result<Saved<T, B>> {
        let GivenRoom {
            mut saved,
            mut activation,
            mut renormalized,
        } = room;
        if let Some(renormalized) = &mut renormalized {
            self.renormalize(&statistics, renormalized)?;
        }
        let affine = match &renormalized {
            Some(renormalized) => renormalized.affine(),
            None => (
                B::shorten::<T::Compute>(self.gamma),
                B::shorten::<T::Compute>(self.beta),
            ),
        };
        self.normalize(x_to_y, &statistics, affine, &mut activation)?;
        let whole = Group::whole(self.batch());
        saved.add(whole, statistics, activation, renormalized);
        Ok(saved)
    }

    /// All memory that [`given`](Self::given) leaves something in.
    pub(crate) fn room_for_given(&self, source: StatisticsSource) -> Result<GivenRoom<T, B>> {
        check_input_channels(self.config, &self.shape)?;
        Ok(GivenRoom {
            saved: self.nothing_saved(source, 1)?,
            activation: self.saved_activation(&self.shape)?,
            renormalized: self.room_for_renormalized()?,
        })
    }

    /// Normalizes with these statistics and keeps nothing.
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn inference(
        &self,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        statistics: &BatchStatistics<T::Compute, B>,
    ) -> Result<()> {
        let affine = (self.gamma, self.beta);
        self.normalize(x_to_y, statistics, affine, &mut SavedActivation::Nothing)
    }

    /// Room for what a batch is renormalized with, where it is.
    fn room_for_renormalized(&self) -> Result<Option<SavedRenormalization<T::Compute, B>>> {
        let room = |_| SavedRenormalization::zeros(self.backend, self.shape.channels());
        self.reference.as_ref().map(room).transpose()
    }

    /// What a batch with these statistics is renormalized with.
    fn renormalize(
        &self,
        statistics: &BatchStatistics<T::Compute, B>,
        renormalized: &mut SavedRenormalization<T::Compute, B>,
    ) -> Result<()> {
        let Some(reference) = self.reference.as_ref().filter(|_| statistics.count > 0) else {
            return Ok(());
        };
        let gamma = B::shorten::<T::Compute>(self.gamma);
        let beta = B::shorten::<T::Compute>(self.beta);
        self.backend.renormalize::<T::Compute>(
            statistics.view().normalization(gamma, beta),
            self.config.epsilon_value(),
            reference.view(),
            renormalized.view_mut(),
        )
    }

    fn normalize(
        &self,
        x_to_y: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        statistics: &BatchStatistics<T::Compute, B>,
        (gamma, beta): (B::Slice<'_, T::Compute>, B::Slice<'_, T::Compute>),
        saved: &mut SavedOwned<T, B>,
    ) -> Result<()> {
        let gamma = B::shorten::<T::Compute>(gamma);
        let beta = B::shorten::<T::Compute>(beta);
        let with = statistics.view().normalization(gamma, beta);
        let epilogue = self.epilogue(self.residual.map(B::shorten::<T>), saved);
        self.backend
            .normalize::<T>(self.batch(), x_to_y, with, epilogue)
    }

    /// What the pass goes over.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch::from((&self.shape, self.kept.as_ref()))
    }

    fn nothing_saved(&self, source: StatisticsSource, groups: usize) -> Result<Saved<T, B>> {
        let settings = (self.config.activation_kind(), self.residual.is_some());
        let affine = (self.gamma, self.beta);
        Saved::new(self.backend, self.batch(), source, groups, settings, affine)
    }

    /// Room for what the backward pass needs of the activation.
    fn saved_activation(&self, shape: &Shape) -> Result<SavedOwned<T, B>> {
        if self.keeps_output {
            return Ok(SavedActivation::Output(None));
        }
        let activation = self.config.activation_kind();
        activation.saves(self.residual.is_some()).try_map(
            |()| self.backend.mask::<T>(shape),
            |()| self.backend.unspecified::<T>(shape.len()),
        )
    }

    fn epilogue<'a>(
        &self,
        residual: Option<B::Slice<'a, T>>,
        saved: &'a mut SavedOwned<T, B>,
    ) -> Epilogue<B::Slice<'a, T>, &'a mut B::Mask, B::SliceMut<'a, T>> {
        Epilogue {
            activation: self.config.activation_kind(),
            residual,
            saved: saved.as_mut().map_values(|v| B::as_slice_mut::<T>(v)),
        }
    }
}

/// Checks that an input has the layer's channels.
pub(crate) fn check_input_channels(config: &BatchNormConfig, shape: &Shape) -> Result<()> {
    if shape.channels() == config.channels() {
        return Ok(());
    }
    let needed = config.channels();
    // Axis 0 has the samples, and cannot have been meant.
    let dims = shape.dims();
    let axis = (1..dims.len()).find(|&axis| dims[axis] == needed);
    Err(match axis {
        Some(axis) => Error::ChannelAxis {
            shape: shape.to_string(),
            axis,
            found: shape.channels(),
            needed,
        },
        None => Error::Channels {
            found: shape.channels(),
            needed,
        },
    })
}
