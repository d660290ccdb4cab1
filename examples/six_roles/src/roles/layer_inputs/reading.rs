//! The inputs of a layer's activations, read while the network is trained.

use candle_core::{Module, Result, Tensor};
use tables::spread::{Spread, percentile};

use crate::network::Network;
use crate::normalization::{EPSILON, Pass, standardized};

/// The inputs of a layer's activations, and how well batch norm normalizes.
pub(super) struct Reading {
    /// Of every unit of the last hidden layer, the percentiles 15, 50 and 85 over the images.
    pub(super) units: Vec<Spread>,
    /// The largest |mean| of a normalized channel, over all layers; 0 without batch norm.
    pub(super) mean_error: f64,
    /// The largest distance of its variance from s²/(s² + ε), s² that of the channel before.
    pub(super) variance_error: f64,
}

impl Reading {
    /// With the statistics of these images; nothing of the network changes.
    pub(super) fn new(network: &Network, images: &Tensor) -> Result<Self> {
        let (mut mean_error, mut variance_error) = (0_f64, 0_f64);
        let (mut x, mut units) = (images.clone(), Vec::new());
        for layer in &network.hidden {
            if layer.normalization.is_some() {
                let z = layer.dense.linear.forward(&x)?;
                let before = channels(&z)?;
                let after = channels(&standardized(&z)?)?;
                for (before, after) in before.iter().zip(&after) {
                    let (_, variance) = moments(before);
                    let (mean, normalized_variance) = moments(after);
                    let exact = variance / (variance + EPSILON);
                    mean_error = mean_error.max(mean.abs());
                    variance_error = variance_error.max((normalized_variance - exact).abs());
                }
            }
            let input = layer.activation_input(&x, Pass::Probe)?;
            x = layer.activation.apply(&input)?;
            units = channels(&input)?;
        }
        Ok(Self {
            units: units.into_iter().map(percentiles).collect(),
            mean_error,
            variance_error,
        })
    }
}

/// The values of each channel of x (N, channels).
fn channels(x: &Tensor) -> Result<Vec<Vec<f64>>> {
    let channels = x.t()?.to_vec2::<f32>()?;
    let exact = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
    Ok(channels.into_iter().map(exact).collect())
}

fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2));
    (mean, squares.sum::<f64>() / count)
}

fn percentiles(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    Spread {
        low: percentile(&values, 15),
        median: percentile(&values, 50),
        high: percentile(&values, 85),
    }
}

/// The standard deviation of a unit's median over time, relative to its mean width.
pub(super) fn drift(over_time: &[(f64, Spread)]) -> f64 {
    let medians: Vec<_> = over_time.iter().map(|(_, unit)| unit.median).collect();
    let widths: Vec<_> = widths(over_time).collect();
    moments(&medians).1.sqrt() / moments(&widths).0
}

/// A unit's largest width over its smallest.
pub(super) fn width_change(over_time: &[(f64, Spread)]) -> f64 {
    widths(over_time).fold(0.0, f64::max) / widths(over_time).fold(f64::INFINITY, f64::min)
}

fn widths(over_time: &[(f64, Spread)]) -> impl Iterator<Item = f64> {
    over_time.iter().map(|(_, unit)| unit.high - unit.low)
}
