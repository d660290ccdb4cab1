//! Internal covariate shift by its other definition: not of inputs, but of gradients.

use candle_core::backprop::GradStore;
use candle_core::{Result, bail};
use candle_nn::loss;

use crate::data::Samples;
use crate::network::{Hidden, Network};
use crate::normalization::Pass;
use crate::training::Model;

/// How the gradient of the last hidden layer's weights turns when the layers before it take their step: internal
/// covariate shift as Santurkar et al. 2018 define it (Def. 2.1).
pub(super) struct GradientShift {
    /// Of the angle between the gradients before and after.
    pub(super) cosine: f64,
    /// The length of their difference over that of the gradient before.
    pub(super) relative_distance: f64,
}

impl GradientShift {
    /// The network is as before afterwards.
    pub(super) fn new(network: &Network, batch: &Samples, rate: f64) -> Result<Self> {
        let Some((last, earlier)) = network.hidden.split_last() else {
            bail!("a network without hidden layers has no shift to measure");
        };
        let weight = &last.dense.parameters[0];
        let gradients = || {
            let logits = network.logits(&batch.images, Pass::Probe)?;
            loss::cross_entropy(&logits, &batch.labels)?.backward()
        };
        let weight_gradient = |gradients: &GradStore| match gradients.get(weight) {
            Some(gradient) => gradient.flatten_all()?.to_vec1::<f32>(),
            None => bail!("the last hidden layer has no gradient"),
        };
        let at_first = gradients()?;
        let mut kept = Vec::new();
        for parameter in earlier.iter().flat_map(Hidden::parameters) {
            let value = parameter.as_tensor().copy()?;
            if let Some(gradient) = at_first.get(&parameter) {
                parameter.set(&(&value - (gradient * rate)?)?)?;
            }
            kept.push((parameter, value));
        }
        let before = weight_gradient(&at_first)?;
        let after = weight_gradient(&gradients()?)?;
        for (parameter, value) in kept {
            parameter.set(&value)?;
        }
        let product = |a: &[f32], b: &[f32]| -> f64 {
            let terms = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            terms.sum()
        };
        let (before_squared, after_squared) = (product(&before, &before), product(&after, &after));
        let both = product(&before, &after);
        let distance_squared = (before_squared + after_squared - 2.0 * both).max(0.0);
        Ok(Self {
            cosine: both / (before_squared * after_squared).sqrt(),
            relative_distance: (distance_squared / before_squared).sqrt(),
        })
    }
}
