//! The digits as candle tensors: the first 1,200 images of the file to train on, the other 597 to test.

use candle_core::{Device, Result, Tensor};
use digits_data::digits::{Digits, PIXELS};

const TRAINING_IMAGES: usize = 1200;

/// Images and their labels, on the device.
#[derive(Clone)]
pub(crate) struct Samples {
    /// (N, PIXELS)
    pub(crate) images: Tensor,
    /// (N,), u32
    pub(crate) labels: Tensor,
}

/// Where the images go. The order is the file's, so that no random generator has a part in it.
pub(crate) struct Split {
    pub(crate) training: Samples,
    pub(crate) test: Samples,
}

impl Split {
    /// All images, with one mean and one deviation for all pixels, those of the training images.
    pub(crate) fn new(all: &Digits, device: &Device) -> Result<Self> {
        let mut training = all.range(0..TRAINING_IMAGES);
        let mut test = all.range(TRAINING_IMAGES..all.len());
        let mean = training.images.mean().unwrap_or(0.0);
        let deviation = training.images.std(0.0);
        for part in [&mut training, &mut test] {
            part.images.mapv_inplace(|pixel| (pixel - mean) / deviation);
        }
        Ok(Self {
            training: Samples::new(&training, device)?,
            test: Samples::new(&test, device)?,
        })
    }
}

impl Samples {
    fn new(digits: &Digits, device: &Device) -> Result<Self> {
        let images = digits.images.iter().copied().collect();
        Ok(Self {
            images: Tensor::from_vec(images, (digits.len(), PIXELS), device)?,
            labels: indices(&digits.labels, device)?,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.elem_count()
    }

    /// Those at these places.
    pub(crate) fn pick(&self, places: &[usize]) -> Result<Self> {
        let places = indices(places, self.labels.device())?;
        Ok(Self {
            images: self.images.index_select(&places, 0)?,
            labels: self.labels.index_select(&places, 0)?,
        })
    }

    /// `count` of them from `start`, without a copy.
    pub(crate) fn range(&self, start: usize, count: usize) -> Result<Self> {
        Ok(Self {
            images: self.images.narrow(0, start, count)?,
            labels: self.labels.narrow(0, start, count)?,
        })
    }
}

fn indices(places: &[usize], device: &Device) -> Result<Tensor> {
    let places = places
        .iter()
        .map(|&place| u32::try_from(place).map_err(candle_core::Error::wrap))
        .collect::<Result<Vec<_>>>()?;
    Tensor::new(places, device)
}
