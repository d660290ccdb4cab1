//! Folding with a batch's statistics, for training that is aware of quantization.
//!
//! What is quantized in inference is the folded weight, so training has to quantize a folded weight too. Folded with each batch's
//! own statistics it would jump from step to step, and its quantization with it. So the weight is folded with the running statistics,
//! and what the layer after it gives is corrected to the batch's by c = σ_batch / σ_running, with σ = sqrt(variance + ε):
//!
//! ```text
//! y = (W·γ/σ_running) * x / c + β + (b − mean_batch)·γ/σ_batch
//! ```
//!
//! Source: Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient inference: A whitepaper", section 3.2.2; folding in
//! training as such: Jacob et al. 2018, "Quantization and Training of Neural Networks", section 3.2.

use crate::allocate::collected;
use crate::backend::Backend;
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;
use crate::interop::fold::{Constants, Folded};
use crate::layer::BatchNorm;
use crate::statistics::batch::{BatchStatistics, check_same_channels};

/// The parameters of a layer that does what a batch normalization after it does in training: with its weight, quantized or not,
/// `y = weight * x / correction + bias` for each channel of the output.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FoldedBatch<T, C> {
    /// `W·γ / sqrt(running variance + ε)`, of the same dimensions as before: to the bit that of [`Folded`], which inference has.
    pub weight: Vec<T>,
    /// `sqrt(batch variance + ε) / sqrt(running variance + ε)` (C,): what the weight's output is divided by.
    pub correction: Vec<C>,
    /// `β + (b − batch mean)·γ / sqrt(batch variance + ε)` (C,): what is added then.
    pub bias: Vec<T>,
}

/// Folding with a batch's statistics, such as those of the batch's [`Pass::statistics`](crate::Pass::statistics) over what the layer before
/// gives with its plain weight. Once the statistics are frozen, [`fold_into_linear`](Self::fold_into_linear) and the others have the
/// same weight, and the bias of the running statistics. The arithmetic is `f64`, each result is rounded once to its type.
impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// [`fold_into_linear`](Self::fold_into_linear) in training: with the weight of the running statistics, corrected to the batch's.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
    /// let cpu = Cpu::new();
    /// let mut layer = BatchNorm::new(&cpu, BatchNormConfig::new(1).epsilon(1.0))?;
    /// layer.running_mut().unwrap().set(&[0.0], &[3.0], 1)?;
    /// let z = Tensor::new(&cpu, Shape::channels_first(&[2, 1])?, &[-4.0f32, 2.0])?; // W·x, of variance 9
    /// let batch = layer.batch_statistics(&z)?;
    /// let folded = layer.fold_batch_into_linear(&[6.0f32, 4.0], &[1, 2], None, &batch)?;
    /// assert_eq!(folded.weight, [3.0, 2.0]);
    /// assert!((folded.correction[0] - 10f32.sqrt() / 2.0).abs() < 1e-6);
    /// assert!((folded.bias[0] - 1.0 / 10f32.sqrt()).abs() < 1e-6); // −(−1) / sqrt(9 + 1)
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`fold_into_linear`](Self::fold_into_linear); [`Error::Channels`] for statistics of another layer's; [`Error::TooFewValues`]
    /// for those of fewer than two values per channel; [`Error::Epsilon`] for ε = 0; [`Error::Value`] for a correction that is not finite
    /// or not above zero, as a variance that is NaN or infinite leaves it.
    pub fn fold_batch_into_linear<T: Element>(
        &self,
        weight: &[T],
        dims: &[usize],
        bias: Option<&[T]>,
        batch: &BatchStatistics<C, B>,
    ) -> Result<FoldedBatch<T, C>> {
        let folded = self.fold_into_linear(weight, dims, bias)?;
        self.corrected(folded, bias, batch)
    }

    /// [`fold_into_convolution`](Self::fold_into_convolution) in training: with the weight of the running statistics, corrected to the
    /// batch's.
    ///
    /// # Errors
    /// As [`fold_into_convolution`](Self::fold_into_convolution), and of the statistics as
    /// [`fold_batch_into_linear`](Self::fold_batch_into_linear).
    pub fn fold_batch_into_convolution<T: Element>(
        &self,
        weight: &[T],
        dims: &[usize],
        bias: Option<&[T]>,
        batch: &BatchStatistics<C, B>,
    ) -> Result<FoldedBatch<T, C>> {
        let folded = self.fold_into_convolution(weight, dims, bias)?;
        self.corrected(folded, bias, batch)
    }

    /// [`fold_into_transposed_convolution`](Self::fold_into_transposed_convolution) in training: with the weight of the running
    /// statistics, corrected to the batch's.
    ///
    /// # Errors
    /// As [`fold_into_transposed_convolution`](Self::fold_into_transposed_convolution), and of the statistics as
    /// [`fold_batch_into_linear`](Self::fold_batch_into_linear).
    pub fn fold_batch_into_transposed_convolution<T: Element>(
        &self,
        weight: &[T],
        dims: &[usize],
        groups: usize,
        bias: Option<&[T]>,
        batch: &BatchStatistics<C, B>,
    ) -> Result<FoldedBatch<T, C>> {
        let folded = self.fold_into_transposed_convolution(weight, dims, groups, bias)?;
        self.corrected(folded, bias, batch)
    }

    fn corrected<T: Element>(
        &self,
        folded: Folded<T>,
        bias: Option<&[T]>,
        batch: &BatchStatistics<C, B>,
    ) -> Result<FoldedBatch<T, C>> {
        let channels = self.config().channels();
        check_same_channels(std::slice::from_ref(batch), channels)?;
        if batch.count() < 2 {
            return Err(Error::TooFewValues {
                found: batch.count(),
                shape: "of a batch that is folded".to_owned(),
            });
        }
        self.config().check_epsilon_for_batch_statistics()?;
        let (mean, low) = (batch.mean().to_vec()?, batch.mean_low().to_vec()?);
        let (variance, epsilon) = (batch.variance().to_vec()?, self.config().epsilon_value());
        let _mode = DefaultMode::enter();
        let constants = Constants::of(self)?;
        let correction =
            (0..channels).map(|c| (variance[c].to_f64() + epsilon).sqrt() * constants.inv_std(c));
        let correction: Vec<f64> = collected(correction)?;
        if let Some(channel) = correction.iter().position(|&c| !(c.is_finite() && c > 0.0)) {
            return Err(Error::Value {
                what: "the correction of a folded batch",
                found: format!("{} in channel {channel}", correction[channel]),
                needed: "finite and above zero",
            });
        }
        let shifted = |c: usize| {
            let bias = bias.map_or(0.0, |bias| bias[c].to_f64());
            let deviation = bias - mean[c].to_f64() - low[c].to_f64();
            T::from_f64(deviation * (constants.scale(c) / correction[c]) + constants.beta(c))
        };
        Ok(FoldedBatch {
            weight: folded.weight,
            bias: collected((0..channels).map(shifted))?,
            correction: collected(correction.iter().map(|&c| C::from_f64(c)))?,
        })
    }
}
