//! The images, in two parts.

use digits_data::digits::Digits;

const TRAINING: usize = 1200;

pub(crate) struct Split {
    pub(crate) training: Digits,
    /// Those that no training sees.
    pub(crate) test: Digits,
}

impl Split {
    /// Scaled to mean 0 and deviation 1 over the pixels of the training images: nothing may be known of the others.
    pub(crate) fn new(all: &Digits) -> Self {
        let mut training = all.range(0..TRAINING);
        let mut test = all.range(TRAINING..all.len());
        let mean = training.images.sum() / training.images.len() as f32;
        let deviation = training.images.std(0.0);
        for part in [&mut training, &mut test] {
            part.images.mapv_inplace(|pixel| (pixel - mean) / deviation);
        }
        Self { training, test }
    }
}
