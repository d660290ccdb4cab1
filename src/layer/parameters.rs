//! What a layer learns, and the gradients of it, one after the other by name: what an optimizer goes through.

use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::element::{Compute, Element};
use crate::layer::BatchNorm;
use crate::layer::gradients::{Gradients, ParameterGradients};

const GAMMA: &str = "gamma";
const BETA: &str = "beta";

/// Those of γ and β that there are, with their names.
fn named<A>(gamma: Option<A>, beta: Option<A>) -> impl Iterator<Item = (&'static str, A)> {
    let gamma = gamma.map(|gamma| (GAMMA, gamma));
    let beta = beta.map(|beta| (BETA, beta));
    gamma.into_iter().chain(beta)
}

/// What the layer learns, by name.
impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// `"gamma"` and `"beta"`, those that the layer has.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &ChannelArray<C, B>)> {
        named(self.gamma(), self.beta())
    }

    /// The same, to be changed. The gradients of a pass come in the same order:
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?;
    /// let x = Tensor::new(&cpu, Shape::channels_first(&[2, 1])?, &[-1.0f32, 1.0])?;
    /// let (_, pass) = layer.forward_training(&x)?;
    /// let gradients = pass.backward(&x)?;
    /// for ((name, parameter), (_, gradient)) in layer.parameters_mut().zip(gradients.parameters()) {
    ///     for (value, gradient) in parameter.slice_mut().iter_mut().zip(gradient.slice()) {
    ///         *value -= 0.5 * gradient;
    ///     }
    ///     println!("{name}: {:?}", parameter.to_vec()?);
    /// }
    /// assert!(layer.gamma().unwrap().to_vec()?[0].abs() < 1e-4); // 1 − 0.5·(1 + 1)
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    pub fn parameters_mut(
        &mut self,
    ) -> impl Iterator<Item = (&'static str, &mut ChannelArray<C, B>)> {
        let (has_gamma, has_beta) = (self.config.has_gamma(), self.config.has_beta());
        named(
            has_gamma.then_some(&mut self.gamma),
            has_beta.then_some(&mut self.beta),
        )
    }
}

impl<T: Element, B: Backend> Gradients<T, B> {
    /// dγ and dβ, those that there are, under the names and in the order of the layer's
    /// [`parameters`](BatchNorm::parameters).
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &ChannelArray<T::Compute, B>)> {
        named(self.gamma.as_ref(), self.beta.as_ref())
    }
}

impl<C: Compute, B: Backend> ParameterGradients<C, B> {
    /// dγ and dβ, those that there are, under the names and in the order of the layer's
    /// [`parameters`](BatchNorm::parameters).
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &ChannelArray<C, B>)> {
        named(self.gamma.as_ref(), self.beta.as_ref())
    }
}
