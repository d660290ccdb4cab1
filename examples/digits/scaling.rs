//! The scale of the images.

use digits_data::digits::Digits;
use ndarray::{Array1, Axis};

/// What gives each pixel of the training images mean 0 and variance 1.
pub(crate) struct Scaling {
    mean: Array1<f32>,
    deviation: Array1<f32>,
}

impl Scaling {
    /// Measured on these images, which must be those trained on: nothing may be known of the others.
    pub(crate) fn of(training: &Digits) -> Self {
        let images = &training.images;
        let deviation = images.std_axis(Axis(0), 0.0);
        Self {
            mean: images.sum_axis(Axis(0)) / training.len() as f32,
            // Some pixels at the edge are blank in every image.
            deviation: deviation.mapv(|value| if value > 0.0 { value } else { 1.0 }),
        }
    }

    /// The images at that scale.
    pub(crate) fn apply(&self, digits: &Digits) -> Digits {
        Digits {
            images: (&digits.images - &self.mean) / &self.deviation,
            labels: digits.labels.clone(),
        }
    }
}
