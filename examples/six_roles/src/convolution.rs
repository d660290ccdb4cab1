//! The convolutional network: four 3×3 convolutions, each normalized or not, ReLU; then the mean of each channel over
//! the image, and a linear layer.

use candle_core::{D, Device, Module, Result, Tensor, Var};
use digits_data::digits::CLASSES;
use digits_data::random::Random;

use crate::initialization::Weights;
use crate::network::Dense;
use crate::normalization::{Normalization, Normalize, Pass};
use crate::training::Model;

/// (channels in, channels out, stride)
const LAYERS: [(usize, usize, usize); 4] = [(1, 8, 1), (8, 16, 2), (16, 16, 1), (16, 32, 2)];
/// Height and width of an image.
const SIDE: usize = 8;
const KERNEL: usize = 3;

/// A convolution as one matrix product: the pixels under the kernel are gathered for each place it comes to. At these
/// sizes that is several times faster on a processor than candle's own convolution and its gradient.
struct Convolution {
    dense: Dense,
    /// The pixels under the kernel at every place of it; `u32::MAX`, which candle reads as zero, where it overhangs.
    pixels: Tensor,
    /// Height and width of what it makes.
    side: usize,
    normalization: Option<Normalization>,
}

pub(crate) struct ConvolutionalNetwork {
    layers: Vec<Convolution>,
    output: Dense,
}

impl Convolution {
    /// Images (N, side², channels in) to (N, side², channels out), with another side where there is a stride.
    fn forward(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        let (samples, _, channels_in) = x.dims3()?;
        let places = self.side * self.side;
        let patches = x
            .index_select(&self.pixels, 1)?
            .reshape((samples * places, KERNEL * KERNEL * channels_in))?;
        let y = self.dense.linear.forward(&patches)?;
        let Some(normalization) = &self.normalization else {
            return y.relu()?.reshape((samples, places, ()));
        };
        // To batch norm this is (N, C, H, W) in channels-last memory, which costs no copy.
        let y = y
            .reshape((samples, self.side, self.side, ()))?
            .permute((0, 3, 1, 2))?;
        let y = normalization.forward(&y, pass)?.permute((0, 2, 3, 1))?;
        y.relu()?.contiguous()?.reshape((samples, places, ()))
    }
}

/// The pixels under the kernel, for every place of it, row by row.
fn pixels_under_kernel(side: usize, stride: usize) -> Vec<u32> {
    let mut pixels = Vec::new();
    let starts = || (0..side).step_by(stride);
    for (top, left) in starts().flat_map(|top| starts().map(move |left| (top, left))) {
        for (down, right) in
            (0..KERNEL).flat_map(|down| (0..KERNEL).map(move |right| (down, right)))
        {
            // The kernel's middle is at (top, left); one row and one column of zeros surround the image.
            let inside = |start: usize, offset: usize| {
                (start + offset).checked_sub(1).filter(|&at| at < side)
            };
            let pixel = inside(top, down)
                .zip(inside(left, right))
                .and_then(|(row, column)| u32::try_from(row * side + column).ok());
            pixels.push(pixel.unwrap_or(u32::MAX));
        }
    }
    pixels
}

impl ConvolutionalNetwork {
    pub(crate) fn new(normalize: Normalize, seed: u64, device: &Device) -> Result<Self> {
        let mut random = Random::new(seed);
        let mut side = SIDE;
        let mut layers = Vec::new();
        for (channels_in, channels_out, stride) in LAYERS {
            let shape = (channels_out, KERNEL * KERNEL * channels_in);
            let weight = Weights::He.matrix(shape, 1.0, &mut random, device)?;
            let pixels = Tensor::new(pixels_under_kernel(side, stride), device)?;
            side = side.div_ceil(stride);
            layers.push(Convolution {
                dense: Dense::new(weight, normalize == Normalize::No)?,
                pixels,
                side,
                normalization: Normalization::new(normalize, channels_out, seed, device)?,
            });
        }
        let shape = (CLASSES, LAYERS[LAYERS.len() - 1].1);
        let weight = Weights::He.matrix(shape, 1.0, &mut random, device)?;
        Ok(Self {
            layers,
            output: Dense::new(weight, true)?,
        })
    }
}

impl Model for ConvolutionalNetwork {
    fn logits(&self, images: &Tensor, pass: Pass) -> Result<Tensor> {
        let mut x = images.unsqueeze(D::Minus1)?;
        for layer in &self.layers {
            x = layer.forward(&x, pass)?;
        }
        self.output.linear.forward(&x.mean(1)?)
    }

    fn parameters(&self) -> Vec<Var> {
        let normalizations = self.layers.iter().flat_map(|layer| &layer.normalization);
        let dense = self.layers.iter().map(|layer| &layer.dense);
        dense
            .chain([&self.output])
            .flat_map(|dense| dense.parameters.iter().cloned())
            .chain(normalizations.flat_map(Normalization::parameters))
            .collect()
    }
}
