//! The quantized pass: inference whose result is bytes.

use crate::allocate::filled;
use crate::arrays::lent::{lent, residual_slice};
use crate::arrays::view::{Data, View};
use crate::backend::Backend;
use crate::config::quantization::Quantization;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::layer::BatchNorm;
use crate::layer::forward::check_input_channels;

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// [`forward_inference`](Self::forward_inference), with y, after the activation, quantized to `i8` in the same pass over x: bytes in the order
    /// of x's memory, on the host. Changes nothing.
    ///
    /// ```
    /// use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Quantization, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let config = BatchNormConfig::new(1).epsilon(0.0).activation(Activation::Relu);
    /// let layer = BatchNorm::new(&cpu, config)?; // running mean 0, running variance 1
    /// let x = Tensor::new(&cpu, Shape::channels_first(&[4, 1])?, &[-1.0f32, 0.3, 1.25, 100.0])?;
    /// let q = layer.forward_quantized(&x, &Quantization::affine(0.1, -128)?)?;
    /// assert_eq!(q, [-128, -125, -116, 127]); // 12.5 is rounded to the even 12
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`forward_inference`](Self::forward_inference); [`crate::Error::Length`] for a quantization of other channels;
    /// [`crate::Error::Value`] on a GPU, which has no kernel for it yet.
    pub fn forward_quantized<T, X>(&self, x: &X, quantization: &Quantization) -> Result<Vec<i8>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let View { shape, .. } = lent("x", x)?;
        check_input_channels(&self.config, &shape)?;
        let mut q = filled(shape.len(), 0)?;
        self.forward_quantized_into(x, None, quantization, &mut q)?;
        Ok(q)
    }

    /// [`forward_quantized`](Self::forward_quantized) into memory of the caller's, and with a residual that is added before the
    /// activation.
    ///
    /// # Errors
    /// As [`forward_quantized`](Self::forward_quantized); [`crate::Error::Length`] for another number of bytes than x has values;
    /// [`crate::Error::ShapeMismatch`] for a residual of another shape.
    pub fn forward_quantized_into<T, X>(
        &self,
        x: &X,
        residual: Option<&dyn Data<B, Element = T>>,
        quantization: &Quantization,
        q: &mut [i8],
    ) -> Result<()>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let View { shape, values } = lent("x", x)?;
        check_input_channels(&self.config, &shape)?;
        let residual = residual_slice(&shape, residual)?;
        let statistics = self.inference_statistics::<T>((&shape).into(), values)?;
        let with = statistics
            .view()
            .normalization(self.gamma.slice(), self.beta.slice());
        let activation = self.config.activation_kind();
        self.backend.normalize_quantized::<T>(
            &shape,
            values,
            with,
            activation,
            residual,
            quantization,
            q,
        )
    }
}
