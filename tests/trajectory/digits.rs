//! The data of the recipe, and its weights: numbers that any program makes the same.

use std::fs::File;
use std::path::Path;

use batchnorm::Compute;
use flate2::read::GzDecoder;
use ndarray::{Array2, NdFloat};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// Rows for training; the others are for the test.
pub(crate) const TRAINING_ROWS: usize = 1200;

/// A type that networks are trained in here.
pub(crate) trait Float: Compute + NdFloat {}
impl Float for f32 {}
impl Float for f64 {}

/// Handwritten digits.
pub(crate) struct Digits<F> {
    /// (rows, 64), standardized.
    pub(crate) pixels: Array2<F>,
    pub(crate) labels: Vec<usize>,
    pub(crate) mean: F,
    pub(crate) deviation: F,
}

impl<F: Float> Digits<F> {
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/digits.csv.gz");
        let file = GzDecoder::new(File::open(path).unwrap());
        let mut rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(file);
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for row in rows.deserialize() {
            let mut row: Vec<u8> = row.unwrap();
            labels.push(usize::from(row.pop().unwrap()));
            pixels.extend(row.into_iter().map(|pixel| f64::from(pixel) / 16.0));
        }
        let of_training = &pixels[..TRAINING_ROWS * 64];
        let count = of_training.len() as f64;
        let mean = of_training.iter().sum::<f64>() / count;
        let squares = of_training.iter().map(|pixel| (pixel - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        let (mean, deviation) = (F::from_f64(mean), F::from_f64(deviation));
        let standardized = pixels
            .into_iter()
            .map(|pixel| (F::from_f64(pixel) - mean) / deviation)
            .collect();
        Self {
            pixels: Array2::from_shape_vec((labels.len(), 64), standardized).unwrap(),
            labels,
            mean,
            deviation,
        }
    }
}

/// The step of SplitMix64 from one state to the next: its sequence from 0 can be entered anywhere.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// The weights of dense layer `layer`: He's variance, from the values of SplitMix64 that belong to the place.
pub(crate) fn weights<F: Float>(layer: u64, fan_in: usize, fan_out: usize) -> Array2<F> {
    let scale = (24.0 / fan_in as f64).sqrt();
    Array2::from_shape_fn((fan_in, fan_out), |(i, o)| {
        let place = (layer << 32) + (i * fan_out + o) as u64;
        let bits = SplitMix64::seed_from_u64(place.wrapping_mul(STEP)).next_u64();
        let uniform = (bits >> 11) as f64 / (1_u64 << 53) as f64;
        F::from_f64(scale * (uniform - 0.5))
    })
}
