//! Several sets of statistics and parameters, each for its own samples of a batch.

use crate::allocate::{collected, reserved};
use crate::arrays::channel_array::ChannelArray;
use crate::arrays::lent::{lent, output_slice, residual_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::config::BatchNormConfig;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::layer::BatchNorm;
use crate::layer::forward::{Forward, check_input_channels};
use crate::layer::ghost::Group;
use crate::layer::saved::Saved;
use crate::layer::split_pass::{SplitPart, SplitPass};
use crate::shape::Shape;
use crate::statistics::running::RunningStatistics;

/// Samples that follow one another in a batch, and the set that they are normalized with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleGroup {
    /// Which, counted from 0.
    pub set: usize,
    /// How many, at least one.
    pub samples: usize,
}

/// Batch normalization with several sets of statistics, γ and β: each group of samples of a batch is normalized with its own statistics, the
/// running ones of its set follow them, and its γ and β, or those that all sets share, are applied. For batches of several domains
/// (domain-specific batch norm, Chang et al. 2019), or of clean and adversarial or augmented samples (auxiliary or split batch norm, Xie et
/// al. 2020, "Adversarial Examples Improve Image Recognition").
///
/// A batch comes with its groups, in the order of its samples. A set may have several, or none; then it stays as it is. On every backend each group is
/// a pass of its own, on its part of the batch's memory. A layer of all groups has the bits of one [`BatchNorm`] for each.
///
/// ```
/// use batchnorm::{BatchNormConfig, Cpu, SampleGroup, Shape, SplitBatchNorm, Tensor};
/// let cpu = Cpu::new();
/// let mut layer = SplitBatchNorm::new(&cpu, BatchNormConfig::new(1), 2)?;
/// let x = Tensor::new(&cpu, Shape::channels_first(&[4, 1])?, &[0.0f32, 2.0, 10.0, 30.0])?;
/// let groups = [SampleGroup { set: 0, samples: 2 }, SampleGroup { set: 1, samples: 2 }];
/// let (y, pass) = layer.forward_training(&x, &groups)?;
/// assert!((y.to_vec()?[2] + 1.0).abs() < 1e-4); // (10 − 20) / 10
/// let gradients = pass.backward(&y)?;
/// assert_eq!(gradients.sets.len(), 2);
///
/// assert_eq!(layer.sets()[1].running().unwrap().mean().to_vec()?, [2.0]); // 0.1·20
/// let y = layer.forward_inference(&x, &[SampleGroup { set: 1, samples: 4 }])?;
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SplitBatchNorm<B: Backend, C: Compute = f32> {
    /// Where γ and β are shared, the first has them.
    sets: Vec<BatchNorm<B, C>>,
    shares_affine: bool,
}

impl<B: Backend> SplitBatchNorm<B> {
    /// So many sets, each as [`BatchNorm::new`] makes it, for `f32`, `f16` and `bf16`.
    ///
    /// # Errors
    /// As [`BatchNorm::new`]; [`Error::Value`] for no sets.
    pub fn new(backend: &B, config: BatchNormConfig, sets: usize) -> Result<Self> {
        Self::with_compute(backend, config, sets)
    }
}

impl<B: Backend, C: Compute> SplitBatchNorm<B, C> {
    /// As [`new`](SplitBatchNorm::new), with per-channel arrays of `C`, in which everything is computed.
    ///
    /// # Errors
    /// As [`new`](SplitBatchNorm::new).
    pub fn with_compute(backend: &B, config: BatchNormConfig, sets: usize) -> Result<Self> {
        Self::of(backend, config, config, sets, false)
    }

    /// Sets of statistics alone: γ and β are those of the first set, and the others have none.
    ///
    /// # Errors
    /// As [`new`](SplitBatchNorm::new).
    pub fn with_shared_parameters(
        backend: &B,
        config: BatchNormConfig,
        sets: usize,
    ) -> Result<Self> {
        let others = config.gamma(false).beta(false);
        Self::of(backend, config, others, sets, true)
    }

    fn of(
        backend: &B,
        first: BatchNormConfig,
        others: BatchNormConfig,
        sets: usize,
        shares_affine: bool,
    ) -> Result<Self> {
        if sets == 0 {
            return Err(Error::Value {
                what: "the number of sets",
                found: "0".to_owned(),
                needed: "at least 1",
            });
        }
        let mut made = reserved(sets)?;
        made.push(BatchNorm::with_compute(backend, first)?);
        for _ in 1..sets {
            made.push(BatchNorm::with_compute(backend, others)?);
        }
        Ok(Self {
            sets: made,
            shares_affine,
        })
    }

    /// The sets, each a layer that could stand alone, but where the first has γ and β for all.
    pub fn sets(&self) -> &[BatchNorm<B, C>] {
        &self.sets
    }

    /// A set, to be changed, if there is one of this number.
    pub fn set_mut(&mut self, set: usize) -> Option<&mut BatchNorm<B, C>> {
        self.sets.get_mut(set)
    }

    /// Whether all sets have the γ and β of the first.
    pub fn shares_parameters(&self) -> bool {
        self.shares_affine
    }

    /// The same layer, with memory of its own.
    ///
    /// # Errors
    /// When the device has no room, where `clone` panics.
    pub fn try_clone(&self) -> Result<Self> {
        let mut sets = reserved(self.sets.len())?;
        for set in &self.sets {
            sets.push(set.try_clone()?);
        }
        Ok(Self { sets, ..*self })
    }

    /// Normalizes each group with its own statistics; the running ones of its set follow at once, group by group.
    ///
    /// # Errors
    /// As [`BatchNorm::forward_training`], of every group; [`Error::NoSuchSet`]; [`Error::GroupSamples`] where the groups do not have as
    /// many samples as the batch; [`Error::Value`] for a group of none. Then no set has changed.
    pub fn forward_training<T, X>(
        &mut self,
        x: X,
        groups: &[SampleGroup],
    ) -> Result<(Tensor<T, B>, SplitPass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.sets[0].output_for(&x)?;
        let pass = self.forward_training_into(x, None, &mut y, groups)?;
        Ok((y, pass))
    }

    /// [`forward_training`](Self::forward_training) into memory of the caller's, and with a residual that is added before the
    /// activation.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training), and [`Error::ShapeMismatch`]. Then nothing has been written.
    pub fn forward_training_into<T, X>(
        &mut self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
        groups: &[SampleGroup],
    ) -> Result<SplitPass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut followed = reserved(self.sets.len())?;
        for (set, layer) in self.sets.iter().enumerate() {
            let is_used = groups.iter().any(|group| group.set == set);
            let running = layer.running.as_ref().filter(|_| is_used);
            followed.push(running.map(RunningStatistics::try_clone).transpose()?);
        }
        let pass = self.training(x, residual, y, groups, &mut followed)?;
        // A later group could have failed when the sets of earlier ones had followed.
        for (layer, followed) in self.sets.iter_mut().zip(followed) {
            if followed.is_some() {
                layer.running = followed;
            }
        }
        Ok(pass)
    }

    /// Normalizes each group with its own statistics and leaves the running ones alone, until the caller has them
    /// [`follow`](BatchNorm::follow) those of each part of the pass.
    ///
    /// # Errors
    /// As [`forward_training`](Self::forward_training).
    pub fn forward_training_deferred<T, X>(
        &self,
        x: X,
        groups: &[SampleGroup],
    ) -> Result<(Tensor<T, B>, SplitPass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.sets[0].output_for(&x)?;
        let mut none = reserved(self.sets.len())?;
        none.resize_with(self.sets.len(), || None);
        let pass = self.training(x, None, &mut y, groups, &mut none)?;
        Ok((y, pass))
    }

    /// Normalizes each group with the running statistics of its set, with gradients.
    ///
    /// # Errors
    /// As [`BatchNorm::forward_frozen`], and of the groups as [`forward_training`](Self::forward_training).
    pub fn forward_frozen<T, X>(
        &self,
        x: X,
        groups: &[SampleGroup],
    ) -> Result<(Tensor<T, B>, SplitPass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.sets[0].output_for(&x)?;
        let pass = self.forward_frozen_into(x, None, &mut y, groups)?;
        Ok((y, pass))
    }

    /// [`forward_frozen`](Self::forward_frozen) into memory of the caller's, and with a residual that is added before the activation.
    ///
    /// # Errors
    /// As [`forward_frozen`](Self::forward_frozen), and [`Error::ShapeMismatch`].
    pub fn forward_frozen_into<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
        groups: &[SampleGroup],
    ) -> Result<SplitPass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let takes_batch = |layer: &BatchNorm<B, C>| layer.running.is_none();
        self.each(
            x,
            residual,
            y,
            (groups, takes_batch),
            |forward, set, x, y| match &self.sets[set].running {
                Some(running) => {
                    let epsilon = forward.config.epsilon_value();
                    forward.frozen(
                        InOut::Separate(x, y),
                        running.as_batch(forward.backend, epsilon)?,
                    )
                }
                None => forward.training(InOut::Separate(x, y), None, None),
            },
        )
    }

    /// Normalizes each group with the running statistics of its set. Changes nothing.
    ///
    /// # Errors
    /// As [`BatchNorm::forward_inference`], and of the groups as [`forward_training`](Self::forward_training).
    pub fn forward_inference<T, X>(&self, x: &X, groups: &[SampleGroup]) -> Result<Tensor<T, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let mut y = self.sets[0].output_for(x)?;
        self.forward_inference_into(x, None, &mut y, groups)?;
        Ok(y)
    }

    /// [`forward_inference`](Self::forward_inference) into memory of the caller's, and with a residual that is added before the
    /// activation.
    ///
    /// # Errors
    /// As [`forward_inference`](Self::forward_inference), and [`Error::ShapeMismatch`].
    pub fn forward_inference_into<T, X>(
        &self,
        x: &X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
        groups: &[SampleGroup],
    ) -> Result<()>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let View { shape, values } = lent("x", x)?;
        let groups = self.groups_of(&shape, groups, |layer| layer.running.is_none())?;
        let residual = residual_slice(&shape, residual)?;
        let mut y = output_slice(&shape, "y", y)?;
        for (set, group) in groups {
            let x = B::subslice::<T>(&values, group.values.clone())?;
            let y = B::subslice_mut::<T>(&mut y, group.values.clone())?;
            let statistics = self.sets[set].inference_statistics::<T>(group.batch(), x)?;
            let forward = self.forward(set, &group, residual.as_ref())?;
            forward.inference(InOut::Separate(x, y), &statistics)?;
        }
        Ok(())
    }

    /// Replaces all sets by as many others.
    #[cfg(feature = "safetensors")]
    pub(crate) fn replace_sets(&mut self, sets: Vec<BatchNorm<B, C>>) {
        self.sets = sets;
    }

    /// Training passes of the groups, which these running statistics follow.
    fn training<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
        groups: &[SampleGroup],
        followed: &mut [Option<RunningStatistics<C, B>>],
    ) -> Result<SplitPass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        self.each(x, residual, y, (groups, |_| true), |forward, set, x, y| {
            let layer = &self.sets[set];
            let (ghost_batch, running) = (layer.config.ghost_batch_size(), followed[set].as_mut());
            forward.against(layer.reference()?).training(
                InOut::Separate(x, y),
                ghost_batch,
                running,
            )
        })
    }

    /// A pass of every group, after everything that can be refused of any.
    fn each<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
        (groups, takes_batch): (&[SampleGroup], impl Fn(&BatchNorm<B, C>) -> bool),
        mut pass: impl FnMut(
            Forward<'_, T, B>,
            usize,
            B::Slice<'_, T>,
            B::SliceMut<'_, T>,
        ) -> Result<Saved<T, B>>,
    ) -> Result<SplitPass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let View { shape, values } = lent("x", &x)?;
        let groups = self.groups_of(&shape, groups, takes_batch)?;
        let residual = residual_slice(&shape, residual)?;
        let mut y = output_slice(&shape, "y", y)?;
        let mut parts = reserved(groups.len())?;
        for (set, group) in groups {
            let x = B::subslice::<T>(&values, group.values.clone())?;
            let y = B::subslice_mut::<T>(&mut y, group.values.clone())?;
            let forward = self.forward(set, &group, residual.as_ref())?;
            let saved = pass(forward, set, x, y)?;
            parts.push(SplitPart { set, group, saved });
        }
        let has_parameters = self.sets.iter().map(|set| {
            let config = &set.config;
            [config.has_gamma(), config.has_beta()]
        });
        Ok(SplitPass {
            has_parameters: collected(has_parameters)?,
            backend: self.sets[0].backend.clone(),
            shares_parameters: self.shares_affine,
            has_residual: residual.is_some(),
            shape,
            parts,
            x,
        })
    }

    fn forward<'r, T: Element<Compute = C>>(
        &'r self,
        set: usize,
        group: &Group,
        residual: Option<&'r B::Slice<'_, T>>,
    ) -> Result<Forward<'r, T, B>> {
        let (gamma, beta) = self.affine_of(set);
        let layer = &self.sets[set];
        let residual = match residual {
            Some(residual) => Some(B::subslice::<T>(residual, group.values.clone())?),
            None => None,
        };
        Ok(Forward {
            backend: &layer.backend,
            config: &layer.config,
            shape: group.shape,
            gamma: gamma.slice(),
            beta: beta.slice(),
            residual,
            reference: None,
            kept: None,
            keeps_output: false,
        })
    }

    fn affine_of(&self, set: usize) -> (&ChannelArray<C, B>, &ChannelArray<C, B>) {
        let owner = &self.sets[if self.shares_affine { 0 } else { set }];
        (&owner.gamma, &owner.beta)
    }

    /// The groups, and everything that can be refused of any: those of some sets are normalized with their own statistics.
    fn groups_of(
        &self,
        shape: &Shape,
        groups: &[SampleGroup],
        takes_batch: impl Fn(&BatchNorm<B, C>) -> bool,
    ) -> Result<Vec<(usize, Group)>> {
        let mut placed = reserved(groups.len())?;
        let samples = groups.iter().map(|group| group.samples);
        let found = samples.fold(0, usize::saturating_add);
        if found != shape.batch() {
            return Err(Error::GroupSamples {
                found,
                needed: shape.batch(),
            });
        }
        let mut start = 0;
        for &SampleGroup { set, samples } in groups {
            let Some(layer) = self.sets.get(set) else {
                return Err(Error::NoSuchSet {
                    asked: set,
                    found: self.sets.len(),
                });
            };
            if samples == 0 {
                return Err(Error::Value {
                    what: "a group of samples",
                    found: "0 samples".to_owned(),
                    needed: "at least 1 sample: a set without samples is left out",
                });
            }
            check_input_channels(&layer.config, shape)?;
            let (gamma, beta) = self.affine_of(set);
            shape.check_per_channel("gamma", gamma.len())?;
            shape.check_per_channel("beta", beta.len())?;
            let group = Group::of_samples(shape.into(), start..start + samples)?;
            if takes_batch(layer) {
                layer.config.check_epsilon_for_batch_statistics()?;
                let size = layer.config.ghost_batch_size().unwrap_or(samples);
                for ghost in Group::split(group.batch(), size)? {
                    ghost.shape.check_batch_statistics()?;
                }
            }
            placed.push((set, group));
            start += samples;
        }
        Ok(placed)
    }
}
