//! A part of a batch: the pass of one of several who have the batch together, and put its statistics and gradient sums together by
//! whatever means they have.

use std::fmt;

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::{InOut, StatisticsSource};
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::layer::BatchNorm;
use crate::layer::forward::{Forward, GivenRoom, check_input_channels};
use crate::layer::pass::{GradientRoom, Gradients, ParameterGradients, Pass, asked_for};
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;
use crate::statistics::gradients::PooledGradients;
use crate::statistics::pooled::PooledStatistics;

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// The exact statistics of a part of a batch, to be [merged](PooledStatistics::merge) with those of the other parts. Those of
    /// an empty part are of no values.
    ///
    /// # Errors
    /// [`crate::Error::Channels`]; when the device fails or has no room.
    pub fn part_statistics<T, X>(&self, x: &X) -> Result<PooledStatistics>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let View { shape, values } = lent("x", x)?;
        check_input_channels(&self.config, &shape)?;
        let mut statistics = PooledStatistics::room(shape.channels(), shape.values_per_channel())?;
        if !shape.is_empty() {
            self.backend
                .statistics_in_f64::<T>(&shape, values, statistics.view_mut())?;
        }
        Ok(statistics)
    }

    /// Normalizes a part of a batch with the statistics of the whole, which several have put together: each calls this with its
    /// own part and the same statistics. The running statistics stay, until the caller has them [`follow`](Self::follow)
    /// [`PartPass::statistics`].
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, PooledGradients, PooledStatistics, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?;
    /// let part = |values: &[f32]| Tensor::new(&cpu, Shape::channels_first(&[values.len(), 1])?, values);
    /// let (a, b) = (part(&[0.0, 1.0])?, part(&[5.0])?);
    ///
    /// let mut whole = PooledStatistics::new(1);
    /// whole.merge(&[layer.part_statistics(&a)?, layer.part_statistics(&b)?])?;
    /// let (y, pass_a) = layer.forward_part(&a, whole.to_batch(&cpu, 1e-5)?)?;
    /// let (_, pass_b) = layer.forward_part(&b, whole.to_batch(&cpu, 1e-5)?)?;
    /// layer.follow(pass_a.statistics())?;
    /// assert!((y.to_vec()?[0] + 0.9258).abs() < 1e-4); // (0 − 2) / sqrt(14/3)
    ///
    /// let (dy_a, dy_b) = (part(&[1.0, 0.0])?, part(&[0.0])?);
    /// let mut sums = PooledGradients::new(1)?;
    /// sums.merge(&[pass_a.gradient_sums(&dy_a)?, pass_b.gradient_sums(&dy_b)?])?;
    /// let gradients = pass_a.backward(&dy_a, &sums)?;
    /// assert_eq!(gradients.beta.unwrap().to_vec()?, [1.0]);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Channels`], [`crate::Error::TooFewValues`] for statistics of one value per channel, or of fewer than x has, and
    /// what the memory of `x` is refused for. ε is that of the statistics.
    pub fn forward_part<T, X>(
        &self,
        x: X,
        statistics: BatchStatistics<C, B>,
    ) -> Result<(Tensor<T, B>, PartPass<X, B>)>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let mut y = self.output_for(&x)?;
        let pass = self.forward_part_into(x, None, &mut y, statistics)?;
        Ok((y, pass))
    }

    /// [`forward_part`](Self::forward_part) into memory of the caller's, and with a residual that is added before the activation.
    ///
    /// # Errors
    /// As [`forward_part`](Self::forward_part), and [`crate::Error::ShapeMismatch`].
    pub fn forward_part_into<T, X>(
        &self,
        x: X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
        statistics: BatchStatistics<C, B>,
    ) -> Result<PartPass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let View { shape, .. } = lent("x", &x)?;
        let forward = self.forward_of(&shape, residual)?;
        check_whole(&shape, &statistics)?;
        let room = forward.room_for_given(StatisticsSource::Batch)?;
        self.normalize_part(x, &forward, y, statistics, room)
    }

    /// The pass of a part for which there is room.
    pub(crate) fn normalize_part<T, X>(
        &self,
        x: X,
        forward: &Forward<'_, T, B>,
        y: &mut impl DataMut<B, Element = T>,
        statistics: BatchStatistics<C, B>,
        room: GivenRoom<T, B>,
    ) -> Result<PartPass<X, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T>,
    {
        let View { shape, values } = lent("x", &x)?;
        let y = output_slice(&shape, "y", y)?;
        let saved = forward.given(values, y, statistics, room)?;
        Ok(PartPass(Pass::new(&self.backend, &self.config, x, saved)))
    }
}

/// That statistics can be those of a batch that this is a part of.
fn check_whole<C: Compute, B: Backend>(part: &Shape, whole: &BatchStatistics<C, B>) -> Result<()> {
    if whole.mean.len() != part.channels() {
        return Err(Error::Channels {
            found: whole.mean.len(),
            needed: part.channels(),
        });
    }
    if whole.count >= part.values_per_channel() && whole.count != 1 {
        return Ok(());
    }
    Err(Error::TooFewValues {
        found: whole.count,
        shape: format!("of statistics for a part {part}"),
    })
}

/// The forward pass of a part of a batch, which can go backward in two steps: the sums of this part, and from those of all parts
/// together dx. Like [`Pass`], it holds x, the statistics, γ and β as they were, and what the activation needs.
pub struct PartPass<X: Data<B>, B: Backend>(Pass<X, B>);

impl<X: Data<B>, B: Backend> PartPass<X, B> {
    /// A frozen pass, of which the gradient sums are still to be merged with others'.
    pub(crate) fn of_frozen(pass: Pass<X, B>) -> Self {
        Self(pass)
    }

    /// The statistics of the whole batch, that x was normalized with.
    pub fn statistics(&self) -> &[BatchStatistics<<X::Element as Element>::Compute, B>] {
        self.0.statistics()
    }

    /// The input.
    pub fn input(&self) -> &X {
        self.0.input()
    }

    /// Gives the input back.
    pub fn into_input(self) -> X {
        self.0.into_input()
    }

    /// dγ = Σ dv·x̂ and dβ = Σ dv over this part, to be [merged](PooledGradients::merge) with those of the other parts.
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`] if dy's memory is not that of x; when the device fails or has no room.
    pub fn gradient_sums<T: Element>(
        &self,
        dy: &(impl Data<B, Element = T> + ?Sized),
    ) -> Result<PooledGradients>
    where
        X: Data<B, Element = T>,
    {
        let Pass {
            backend, x, saved, ..
        } = &self.0;
        let (dy, shape) = (lent("dy", dy)?, saved.shape());
        shape.check_same("dy", &dy.shape)?;
        let x = lent("x", x)?;
        shape.check_same("x", &x.shape)?;
        let mut sums = PooledGradients::room(shape.channels(), shape.values_per_channel())?;
        saved.gradient_sums(backend, x.values, dy.values, sums.view_mut())?;
        Ok(sums)
    }

    /// The gradients of this part, from its dy and the sums over all parts: `dx = γ·inv_std·(dv − Σdv/M − x̂·Σ(dv·x̂)/M)`, with M the
    /// values of all parts. dγ and dβ are those sums.
    ///
    /// # Errors
    /// [`crate::Error::ShapeMismatch`] if dy's memory is not that of x; [`crate::Error::Value`] for sums over another number of values
    /// than the statistics.
    pub fn backward<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        sums: &PooledGradients,
    ) -> Result<Gradients<T, B>>
    where
        X: Data<B, Element = T>,
    {
        let (mut input, mut residual) = self.0.room()?;
        let dresidual = asked_for(&mut residual);
        let ParameterGradients { gamma, beta } =
            self.backward_into(dy, &mut input, dresidual, sums)?;
        Ok(Gradients {
            input,
            residual,
            gamma,
            beta,
        })
    }

    /// [`backward`](Self::backward) into memory of the caller's; the residual's gradient is written if asked for.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), and [`crate::Error::Residual`] if a residual's gradient is asked for where there was none.
    pub fn backward_into<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
        sums: &PooledGradients,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let gradients = self.parameter_gradients(sums)?;
        let (dy, shape) = (lent("dy", dy)?, self.0.saved.shape());
        shape.check_same("dy", &dy.shape)?;
        let dx = output_slice(shape, "dx", dx)?;
        self.run(InOut::Separate(dy.values, dx), dresidual, sums)?;
        Ok(gradients)
    }

    /// [`backward`](Self::backward) with dx written over dy.
    ///
    /// # Errors
    /// As [`backward_into`](Self::backward_into).
    pub fn backward_in_place<T: Element>(
        &self,
        dy: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
        sums: &PooledGradients,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let gradients = self.parameter_gradients(sums)?;
        let both = output_slice(self.0.saved.shape(), "dy", dy)?;
        self.run(InOut::InPlace(both), dresidual, sums)?;
        Ok(gradients)
    }

    /// C.
    pub(crate) fn channels(&self) -> usize {
        self.0.saved.shape().channels()
    }

    /// Room for what [`backward`](Self::backward) writes.
    pub(crate) fn room<T: Element>(&self) -> Result<GradientRoom<T, B>>
    where
        X: Data<B, Element = T>,
    {
        self.0.room()
    }

    /// That the outputs of a backward pass are those of this one.
    pub(crate) fn check_outputs<T: Element>(
        &self,
        what: &'static str,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut (dyn DataMut<B, Element = T> + '_)>,
    ) -> Result<()>
    where
        X: Data<B, Element = T>,
    {
        let saved = &self.0.saved;
        output_slice(saved.shape(), what, dx)?;
        saved.check_residual_is_asked_for(dresidual.is_some())?;
        if let Some(dresidual) = dresidual {
            output_slice(saved.shape(), "the residual's gradient", dresidual)?;
        }
        Ok(())
    }

    /// These sums, of the parameters that the layer has.
    pub(crate) fn parameter_gradients<T: Element>(
        &self,
        sums: &PooledGradients,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let [gamma, beta] = sums.to_arrays(&self.0.backend)?;
        Ok(ParameterGradients {
            gamma: self.0.has_gamma.then_some(gamma),
            beta: self.0.has_beta.then_some(beta),
        })
    }

    fn run<T: Element>(
        &self,
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
        sums: &PooledGradients,
    ) -> Result<()>
    where
        X: Data<B, Element = T>,
    {
        let Pass {
            backend, x, saved, ..
        } = &self.0;
        let dresidual = match dresidual {
            Some(dresidual) => Some(output_slice(
                saved.shape(),
                "the residual's gradient",
                dresidual,
            )?),
            None => None,
        };
        let x = lent("x", x)?;
        saved.shape().check_same("x", &x.shape)?;
        self.check_same_count(sums)?;
        saved.backward_input(backend, x.values, dy_to_dx, dresidual, sums.view())
    }

    /// That the sums are over the batch that the statistics are of.
    fn check_same_count(&self, sums: &PooledGradients) -> Result<()> {
        let of_statistics = self.statistics().iter().map(BatchStatistics::count);
        let needed = of_statistics.sum::<usize>();
        if !self.0.saved.is_of_batch() || sums.count() == needed {
            return Ok(());
        }
        Err(Error::Value {
            what: "the count of gradient sums",
            found: format!("{}, of statistics over {needed} values", sums.count()),
            needed: "the number of values per channel of all parts",
        })
    }
}

/// x's shape, and no values.
impl<X: Data<B>, B: Backend> fmt::Debug for PartPass<X, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dtype, shape) = (X::Element::DTYPE, self.0.saved.shape());
        let count: usize = self.statistics().iter().map(BatchStatistics::count).sum();
        write!(
            f,
            "PartPass({dtype} {shape}, of {count} values per channel)"
        )
    }
}
