//! The adapted pass: inference by statistics between the running ones and those of the batch.

use crate::arrays::lent::{lent, output_slice};
use crate::arrays::tensor::Tensor;
use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::operands::InOut;
use crate::config::adaptation::Adaptation;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::layer::BatchNorm;
use crate::layer::forward::check_input_channels;
use crate::shape::Shape;
use crate::statistics::batch::BatchStatistics;

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// Normalizes with statistics between the running ones and those of x, for data unlike that of training (test-time adaptation):
    ///
    /// ```text
    /// mean = (1 − a)·running mean + a·mean of x      variance = (1 − a)·running variance + a·variance of x (÷M)
    /// ```
    ///
    /// a is the [`Adaptation`]'s weight for x's samples. Changes nothing in the layer, and reads x once more than inference; with a = 0 it
    /// is [`forward_inference`](Self::forward_inference), to the bit. A channel of x that is not finite spreads to its y, unless the
    /// layer [keeps its running statistics finite](crate::BatchNormConfig::keep_running_finite): then it does not adapt.
    ///
    /// The steps are public: `Backend::statistics`, `update_running` of a copy with the factor a and the correction 1, `inverse_std` and
    /// `normalize`. Source: Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift adaptation".
    ///
    /// ```
    /// use batchnorm::{Adaptation, BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let layer = BatchNorm::new(&cpu, BatchNormConfig::new(1))?; // running mean 0, running variance 1
    /// let x = Tensor::new(&cpu, Shape::channels_first(&[2, 1])?, &[3.0f32, 5.0])?; // mean 4, variance 1
    /// let y = layer.forward_adapted(&x, Adaptation::Prior { samples: 6.0 })?; // a = 2 / (6 + 2)
    /// assert!((y.to_vec()?[0] - 2.0).abs() < 1e-4); // 3 − 1
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoRunningStatistics`]; what [`Adaptation::weight`] refuses; [`Error::Channels`]; where a is above 0 and x not empty,
    /// [`Error::TooFewValues`] for one value per channel and [`Error::Epsilon`] for ε = 0; and what the memory of `x` is refused for.
    pub fn forward_adapted<T, X>(&self, x: &X, adaptation: Adaptation) -> Result<Tensor<T, B>>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let mut y = self.output_for(x)?;
        self.forward_adapted_into(x, None, &mut y, adaptation)?;
        Ok(y)
    }

    /// [`forward_adapted`](Self::forward_adapted) into memory of the caller's, and with a residual that is added before the activation.
    ///
    /// # Errors
    /// As [`forward_adapted`](Self::forward_adapted), and [`Error::ShapeMismatch`].
    pub fn forward_adapted_into<T, X>(
        &self,
        x: &X,
        residual: Option<&dyn Data<B, Element = T>>,
        y: &mut impl DataMut<B, Element = T>,
        adaptation: Adaptation,
    ) -> Result<()>
    where
        T: Element<Compute = C>,
        X: Data<B, Element = T> + ?Sized,
    {
        let View { shape, values } = lent("x", x)?;
        check_input_channels(&self.config, &shape)?;
        let y = output_slice(&shape, "y", y)?;
        let forward = self.without_running().forward((&shape).into(), residual)?;
        let statistics = self.adapted_statistics::<T>(&shape, values, adaptation)?;
        forward.inference(InOut::Separate(values, y), &statistics)
    }

    fn adapted_statistics<T: Element<Compute = C>>(
        &self,
        shape: &Shape,
        x: B::Slice<'_, T>,
        adaptation: Adaptation,
    ) -> Result<BatchStatistics<C, B>> {
        let Some(running) = &self.running else {
            return Err(Error::NoRunningStatistics {
                operation: "adapted inference",
            });
        };
        let (epsilon, weight) = (
            self.config.epsilon_value(),
            adaptation.weight(shape.batch())?,
        );
        if shape.is_empty() || weight == 0.0 {
            return running.as_batch(&self.backend, epsilon);
        }
        shape.check_batch_statistics()?;
        let batch = BatchStatistics::of::<T>(&self.backend, shape.into(), x, epsilon)?;
        running
            .towards(&self.backend, &self.config, &batch, weight)?
            .into_batch(&self.backend, epsilon)
    }
}
