//! What a forward pass leaves behind for its backward pass.

use crate::backend::{Backend, Gate, GradientSumsMut, InOut, Normalization, StatisticsSource};
use crate::batch_norm::lend_output;
use crate::running::BatchStatistics;
use crate::tensor::{ChannelArray, Data, DataMut, Tensor};
use crate::{BatchNormConfig, Compute, Element, Error, Result, Shape};

/// Which gradients pass the activation.
#[derive(Debug)]
pub(crate) enum PassGate<B: Backend> {
    Open,
    Relu,
    Mask(B::Mask),
}

impl<B: Backend> PassGate<B> {
    pub(crate) fn mask_mut(&mut self) -> Option<&mut B::Mask> {
        match self {
            PassGate::Mask(mask) => Some(mask),
            PassGate::Open | PassGate::Relu => None,
        }
    }

    fn lend(&self) -> Gate<'_, B> {
        match self {
            PassGate::Open => Gate::Open,
            PassGate::Relu => Gate::Relu,
            PassGate::Mask(mask) => Gate::Mask(mask),
        }
    }
}

/// γ and β as they were: the layer's may have changed by the time of the backward pass.
#[derive(Debug)]
pub(crate) struct Kept<C: Compute, B: Backend> {
    gamma: ChannelArray<C, B>,
    beta: ChannelArray<C, B>,
}

impl<C: Compute, B: Backend> Kept<C, B> {
    pub(crate) fn affine(gamma: &ChannelArray<C, B>, beta: &ChannelArray<C, B>) -> Result<Self> {
        Ok(Self {
            gamma: gamma.duplicate()?,
            beta: beta.duplicate()?,
        })
    }

    pub(crate) fn normalization<'a>(
        &'a self,
        statistics: &'a BatchStatistics<C, B>,
    ) -> Normalization<'a, B, C> {
        Normalization {
            mean: statistics.mean.slice(),
            mean_low: statistics.mean_low.slice(),
            inv_std: statistics.inv_std.slice(),
            gamma: self.gamma.slice(),
            beta: self.beta.slice(),
        }
    }
}

type ComputeOf<X, B> = <<X as Data<B>>::Element as Element>::Compute;

/// A forward pass that can go backward. It holds everything the gradients need: x (lent, given or shared), the
/// statistics, γ and β as they were, and which activations were cut off. So a backward pass through another layer, with
/// a changed γ, with another x or by the wrong formula cannot be written:
///
/// ```compile_fail,E0502
/// # use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
/// let cpu = Cpu::new();
/// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?;
/// let mut x = Tensor::new(&cpu, Shape::channels_first(&[2, 1])?, &[1.0f32, 2.0])?;
/// let (y, pass) = layer.forward_training(&x)?;
/// x.slice_mut()[0] = 5.0; // x is lent to the pass
/// pass.backward(&y)?;
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Debug)]
pub struct Pass<X: Data<B>, B: Backend> {
    backend: B,
    x: X,
    shape: Shape,
    kept: Kept<ComputeOf<X, B>, B>,
    statistics: BatchStatistics<ComputeOf<X, B>, B>,
    source: StatisticsSource,
    gate: PassGate<B>,
    has_residual: bool,
    has_gamma: bool,
    has_beta: bool,
}

/// The gradients of one pass.
#[derive(Debug)]
pub struct Gradients<T: Element, B: Backend> {
    /// dx, of x's shape.
    pub input: Tensor<T, B>,
    /// The residual's, where there was one.
    pub residual: Option<Tensor<T, B>>,
    /// dγ (C,), where the layer has γ.
    pub gamma: Option<ChannelArray<T::Compute, B>>,
    /// dβ (C,), where the layer has β.
    pub beta: Option<ChannelArray<T::Compute, B>>,
}

/// The gradients of the parameters.
#[derive(Debug)]
pub struct ParameterGradients<C: Compute, B: Backend> {
    /// dγ (C,), where the layer has γ.
    pub gamma: Option<ChannelArray<C, B>>,
    /// dβ (C,), where the layer has β.
    pub beta: Option<ChannelArray<C, B>>,
}

impl<X: Data<B>, B: Backend> Pass<X, B> {
    #[expect(clippy::too_many_arguments, reason = "everything that is kept")]
    pub(crate) fn new(
        backend: &B,
        config: &BatchNormConfig,
        x: X,
        shape: Shape,
        kept: Kept<ComputeOf<X, B>, B>,
        statistics: BatchStatistics<ComputeOf<X, B>, B>,
        source: StatisticsSource,
        gate: PassGate<B>,
        has_residual: bool,
    ) -> Self {
        let (has_gamma, has_beta) = (config.has_gamma(), config.has_beta());
        Self {
            backend: backend.clone(),
            x,
            shape,
            kept,
            statistics,
            source,
            gate,
            has_residual,
            has_gamma,
            has_beta,
        }
    }

    /// The statistics that x was normalized with.
    pub fn statistics(&self) -> &BatchStatistics<ComputeOf<X, B>, B> {
        &self.statistics
    }

    /// The input.
    pub fn input(&self) -> &X {
        &self.x
    }

    /// Gives the input back.
    pub fn into_input(self) -> X {
        self.x
    }

    /// All gradients, from the gradient dy of y.
    ///
    /// With x̂ = (x − mean)·inv_std and dv = dy where the activation passed, else 0:
    /// dβ = Σ dv, dγ = Σ dv·x̂, the residual's is dv, and `dx = γ·inv_std·(dv − dβ/M − x̂·dγ/M)` in training,
    /// `γ·inv_std·dv` with frozen statistics.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if dy's memory is not that of x.
    pub fn backward<T: Element>(&self, dy: &impl Data<B, Element = T>) -> Result<Gradients<T, B>>
    where
        X: Data<B, Element = T>,
    {
        let mut input = Tensor::zeros(&self.backend, self.shape)?;
        let mut residual = if self.has_residual {
            Some(Tensor::zeros(&self.backend, self.shape)?)
        } else {
            None
        };
        let dresidual = residual
            .as_mut()
            .map(|residual| residual as &mut dyn DataMut<B, Element = T>);
        let ParameterGradients { gamma, beta } = self.backward_into(dy, &mut input, dresidual)?;
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
    /// As [`backward`](Self::backward), and [`Error::Residual`] if a residual's gradient is asked for where there was
    /// none.
    pub fn backward_into<T: Element>(
        &self,
        dy: &impl Data<B, Element = T>,
        dx: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let dy = dy.lend()?;
        self.shape.check_same("dy", &dy.shape)?;
        let dx = lend_output(&self.shape, "dx", dx)?;
        self.run(InOut::Separate(dy.values, dx), dresidual)
    }

    /// [`backward`](Self::backward) with dx written over dy.
    ///
    /// # Errors
    /// As [`backward_into`](Self::backward_into).
    pub fn backward_in_place<T: Element>(
        &self,
        dy: &mut impl DataMut<B, Element = T>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        let both = lend_output(&self.shape, "dy", dy)?;
        self.run(InOut::InPlace(both), dresidual)
    }

    fn run<T: Element>(
        &self,
        dy_to_dx: InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
        dresidual: Option<&mut dyn DataMut<B, Element = T>>,
    ) -> Result<ParameterGradients<T::Compute, B>>
    where
        X: Data<B, Element = T>,
    {
        if dresidual.is_some() && !self.has_residual {
            return Err(Error::Residual {
                found: "the gradient of a residual was asked for",
                needed: "the forward pass had none",
            });
        }
        let dresidual = match dresidual {
            Some(dresidual) => Some(lend_output(
                &self.shape,
                "the residual's gradient",
                dresidual,
            )?),
            None => None,
        };
        let channels = self.shape.channels();
        let mut gamma = ChannelArray::zeros(&self.backend, channels)?;
        let mut beta = ChannelArray::zeros(&self.backend, channels)?;
        let x = self.x.lend()?;
        let with = self.kept.normalization(&self.statistics);
        let out = GradientSumsMut {
            gamma: gamma.slice_mut(),
            beta: beta.slice_mut(),
        };
        let gate = self.gate.lend();
        self.backend.backward::<T>(
            &self.shape,
            dy_to_dx,
            x.values,
            with,
            self.source,
            gate,
            dresidual,
            out,
        )?;
        Ok(ParameterGradients {
            gamma: self.has_gamma.then_some(gamma),
            beta: self.has_beta.then_some(beta),
        })
    }
}
