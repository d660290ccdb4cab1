//! The digits: 1,797 images of 8×8 pixels, and which digit each of them shows.

use std::error::Error;
use std::ops::Range;

use flate2::read::GzDecoder;
use ndarray::{Array2, Axis};

const FILE: &[u8] = include_bytes!("../digits.csv.gz");

/// Values of one image.
pub const PIXELS: usize = 64;
/// Digits there are.
pub const CLASSES: usize = 10;

/// Some images and their labels.
pub struct Digits {
    /// (N, PIXELS)
    pub images: Array2<f32>,
    /// (N,), each below CLASSES
    pub labels: Vec<usize>,
}

impl Digits {
    /// All of them, in the file's order.
    pub fn load() -> Result<Self, Box<dyn Error>> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(GzDecoder::new(FILE));
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for row in reader.deserialize() {
            let mut values: Vec<u8> = row?;
            labels.extend(values.pop().map(usize::from));
            pixels.extend(values.into_iter().map(f32::from));
        }
        let images = Array2::from_shape_vec((labels.len(), PIXELS), pixels)?;
        Ok(Self { images, labels })
    }

    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Those at these places.
    pub fn pick(&self, places: &[usize]) -> Self {
        Self {
            images: self.images.select(Axis(0), places),
            labels: places.iter().map(|&place| self.labels[place]).collect(),
        }
    }

    /// Those in this range.
    pub fn range(&self, range: Range<usize>) -> Self {
        self.pick(&range.collect::<Vec<_>>())
    }
}
