//! The residual network: h += relu(normalized h) · weight, layer after layer (He et al. 2016, "pre-activation").

use candle_core::{Device, Module, Result, Tensor, Var};
use digits_data::digits::{CLASSES, PIXELS};
use digits_data::random::Random;

use crate::initialization::Weights;
use crate::network::Dense;
use crate::normalization::{Normalization, Normalize, Pass};
use crate::training::Model;

const WIDTH: usize = 64;

struct Block {
    normalization: Option<Normalization>,
    dense: Dense,
}

pub(crate) struct ResidualNetwork {
    input: Dense,
    blocks: Vec<Block>,
    last_normalization: Option<Normalization>,
    output: Dense,
}

impl ResidualNetwork {
    pub(crate) fn new(
        depth: usize,
        normalize: Normalize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let mut random = Random::new(seed);
        let mut dense = |shape| {
            let weight = Weights::He.matrix(shape, 1.0, &mut random, device)?;
            Dense::new(weight, true)
        };
        let normalization = || Normalization::new(normalize, WIDTH, seed, device);
        let input = dense((WIDTH, PIXELS))?;
        let block = |_| {
            Ok(Block {
                normalization: normalization()?,
                dense: dense((WIDTH, WIDTH))?,
            })
        };
        Ok(Self {
            input,
            blocks: (0..depth).map(block).collect::<Result<_>>()?,
            last_normalization: normalization()?,
            output: dense((CLASSES, WIDTH))?,
        })
    }
}

fn normalized_relu(
    normalization: Option<&Normalization>,
    x: &Tensor,
    pass: Pass,
) -> Result<Tensor> {
    match normalization {
        Some(normalization) => normalization.forward(x, pass)?.relu(),
        None => x.relu(),
    }
}

impl Model for ResidualNetwork {
    fn logits(&self, images: &Tensor, pass: Pass) -> Result<Tensor> {
        let mut sum = self.input.linear.forward(images)?;
        for Block {
            normalization,
            dense,
        } in &self.blocks
        {
            let x = normalized_relu(normalization.as_ref(), &sum, pass)?;
            sum = (sum + dense.linear.forward(&x)?)?;
        }
        let x = normalized_relu(self.last_normalization.as_ref(), &sum, pass)?;
        self.output.linear.forward(&x)
    }

    fn parameters(&self) -> Vec<Var> {
        let of_blocks = self.blocks.iter().map(|block| &block.dense);
        let dense = [&self.input, &self.output].into_iter().chain(of_blocks);
        let of_blocks = self.blocks.iter().map(|block| &block.normalization);
        let normalizations = of_blocks.chain([&self.last_normalization]);
        dense
            .flat_map(|dense| dense.parameters.iter().cloned())
            .chain(normalizations.flatten().flat_map(Normalization::parameters))
            .collect()
    }
}
