//! Sequences of different lengths, with and without a mask: real digits read column by column, from the first column with ink to the last,
//! padded with zeros. Two convolutions over three neighbouring columns, each with batch norm and ReLU, the mean over the columns that there
//! are, and a dense layer; 240 training images drawn for each seed, 300 steps of gradient descent. What differs is batch norm alone: with the
//! padding in its statistics, or masked by the lengths. The first takes (N, L, C), the second (N, C, L).
//!
//! `cargo run --release --example sequences`

#[path = "../tests/trajectory/digits.rs"]
mod digits;

use std::ops::Range;

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Cpu, Kept, Masked, Pass, Result, Shape, Tensor,
};
use ndarray::{Array1, Array2, Axis, s};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use crate::digits::{Digits, TRAINING_ROWS, weights};

const IMAGES: usize = 240;
const PIXELS: usize = 8;
const WIDTH: usize = 16;
const STEPS: usize = 300;
const RATE: f32 = 0.3;
const SEEDS: Range<u64> = 0..10;

/// Columns that sequences are padded to, in turn: one in every step, or another in each.
const PADDED_TO: [&[usize]; 4] = [&[8], &[16], &[32], &[8, 16, 32]];

fn main() -> Result<()> {
    let digits = Digits::<f32>::read();
    let images: Vec<usize> = (0..TRAINING_ROWS).collect();
    let columns: usize = images.iter().map(|&row| ink(&digits, row).len()).sum();
    let mean_length = columns as f64 / images.len() as f64;
    println!("columns with ink between them: {mean_length:.2} of 8 on average");
    println!(
        "padded to | accuracy with the padding | masked | difference | variance of a channel, with the padding | masked"
    );
    for padded_to in PADDED_TO {
        let trained = |masked| -> Result<Vec<(f64, f64)>> {
            let seeds = SEEDS.into_par_iter();
            seeds
                .map(|seed| train(&digits, padded_to, masked, seed))
                .collect()
        };
        let (plain, masked) = (trained(false)?, trained(true)?);
        let of = |values: &[(f64, f64)]| values.iter().map(|value| value.0).collect::<Vec<_>>();
        let variance = |values: &[(f64, f64)]| {
            values.iter().map(|value| value.1).sum::<f64>() / values.len() as f64
        };
        let pairs = masked.iter().zip(&plain);
        let differences: Vec<f64> = pairs.map(|(with, without)| with.0 - without.0).collect();
        println!(
            "{padded_to:?} | {} | {} | {} | {:.4} | {:.4}",
            mean(&of(&plain)),
            mean(&of(&masked)),
            mean(&differences),
            variance(&plain),
            variance(&masked)
        );
    }
    Ok(())
}

/// A pixel, from 0 for paper to 1 for ink.
fn grey(digits: &Digits<f32>, row: usize, pixel: usize) -> f32 {
    (16.0 * (digits.pixels[[row, pixel]] * digits.deviation + digits.mean)).round() / 16.0
}

/// The columns of an image from the first with ink to the last.
fn ink(digits: &Digits<f32>, row: usize) -> Range<usize> {
    let has_ink = |column: &usize| (0..8).any(|y| grey(digits, row, 8 * y + column) > 0.0);
    let first = (0..8).find(has_ink).unwrap_or(0);
    first..(0..8).rev().find(has_ink).map_or(0, |last| last + 1)
}

/// The mean over seeds, and its standard error.
fn mean(values: &[f64]) -> String {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (count * (count - 1.0))).sqrt();
    format!("{mean:7.4} ± {error:.4}")
}

/// Sequences side by side, each padded with zeros.
struct Batch {
    /// (N·L, 8)
    columns: Array2<f32>,
    lengths: Vec<usize>,
    padded_to: usize,
    kept: Kept,
    labels: Vec<usize>,
}

impl Batch {
    fn of(digits: &Digits<f32>, rows: &[usize], padded_to: usize) -> Result<Self> {
        let mut columns = Array2::zeros((rows.len() * padded_to, PIXELS));
        let mut lengths = vec![];
        for (n, &row) in rows.iter().enumerate() {
            let ink = ink(digits, row);
            lengths.push(ink.len());
            for (step, column) in ink.enumerate() {
                for y in 0..PIXELS {
                    columns[[n * padded_to + step, y]] = grey(digits, row, 8 * y + column);
                }
            }
        }
        let shape = Shape::channels_last(&[rows.len(), padded_to, PIXELS])?;
        Ok(Self {
            columns,
            kept: Kept::lengths(&shape, &lengths)?,
            lengths,
            padded_to,
            labels: rows.iter().map(|&row| digits.labels[row]).collect(),
        })
    }

    /// Of every column the one before it, itself and the one after it, side by side.
    fn windows(&self, x: &Array2<f32>) -> Array2<f32> {
        let (rows, width) = x.dim();
        let mut windows = Array2::zeros((rows, 3 * width));
        for row in 0..rows {
            let step = row % self.padded_to;
            for (part, neighbour) in [(0, row.wrapping_sub(1)), (1, row), (2, row + 1)] {
                let is_there = (part > 0 || step > 0) && (part < 2 || step + 1 < self.padded_to);
                if is_there {
                    let to = windows.slice_mut(s![row, part * width..(part + 1) * width]);
                    x.row(neighbour).assign_to(to);
                }
            }
        }
        windows
    }

    /// The gradient of what windows were made of.
    fn windows_backward(&self, dy: &Array2<f32>) -> Array2<f32> {
        let (rows, width) = (dy.nrows(), dy.ncols() / 3);
        let mut dx = Array2::zeros((rows, width));
        for row in 0..rows {
            let step = row % self.padded_to;
            for (part, neighbour) in [(0, row.wrapping_sub(1)), (1, row), (2, row + 1)] {
                let is_there = (part > 0 || step > 0) && (part < 2 || step + 1 < self.padded_to);
                if is_there {
                    let mut to = dx.row_mut(neighbour);
                    to += &dy.slice(s![row, part * width..(part + 1) * width]);
                }
            }
        }
        dx
    }

    /// The mean over the columns of each sequence.
    fn pooled(&self, x: &Array2<f32>) -> Array2<f32> {
        let mut pooled = Array2::zeros((self.lengths.len(), x.ncols()));
        for (n, &length) in self.lengths.iter().enumerate() {
            let first = n * self.padded_to;
            let sum = x.slice(s![first..first + length, ..]).sum_axis(Axis(0));
            pooled.row_mut(n).assign(&(sum / length as f32));
        }
        pooled
    }

    fn pooled_backward(&self, dy: &Array2<f32>) -> Array2<f32> {
        let mut dx = Array2::zeros((self.columns.nrows(), dy.ncols()));
        for (n, &length) in self.lengths.iter().enumerate() {
            let first = n * self.padded_to;
            for step in first..first + length {
                dx.row_mut(step).assign(&(&dy.row(n) / length as f32));
            }
        }
        dx
    }
}

/// A pass over sequences, or over what of them is kept.
type SequencePass = Pass<Masked<Tensor<f32, Cpu>>, Cpu>;

/// A batch norm over sequences, and in which order of memory it sees them.
struct Norm {
    layer: BatchNorm<Cpu>,
    channels_first: bool,
    masked: bool,
}

impl Norm {
    fn shape(&self, batch: &Batch) -> Result<Shape> {
        let (n, l) = (batch.lengths.len(), batch.padded_to);
        if self.channels_first {
            Shape::channels_first(&[n, WIDTH, l])
        } else {
            Shape::channels_last(&[n, l, WIDTH])
        }
    }

    fn tensor(&self, batch: &Batch, x: Array2<f32>) -> Result<Tensor<f32, Cpu>> {
        let shape = self.shape(batch)?;
        let mut x = x.into_shape_with_order((batch.lengths.len(), batch.padded_to, WIDTH));
        let x = x.as_mut().expect("as many values as the shape says");
        if self.channels_first {
            x.swap_axes(1, 2);
        }
        let values: Vec<f32> = x.iter().copied().collect();
        Tensor::new(self.layer.backend(), shape, &values)
    }

    fn array(&self, batch: &Batch, of: Tensor<f32, Cpu>) -> Result<Array2<f32>> {
        let (n, l) = (batch.lengths.len(), batch.padded_to);
        let dims = if self.channels_first {
            (n, WIDTH, l)
        } else {
            (n, l, WIDTH)
        };
        let values = ndarray::Array3::from_shape_vec(dims, of.into_vec()?);
        let mut values = values.expect("as many values as its shape says");
        if self.channels_first {
            values.swap_axes(1, 2);
        }
        let values = values.as_standard_layout().into_owned();
        Ok(values
            .into_shape_with_order((n * l, WIDTH))
            .expect("as many rows"))
    }

    /// What of the batch counts for this layer: without a mask, everything.
    fn kept(&self, batch: &Batch) -> Result<Kept> {
        if self.masked {
            return Ok(batch.kept.clone());
        }
        let shape = self.shape(batch)?;
        Kept::lengths(&shape, &vec![batch.padded_to; batch.lengths.len()])
    }

    fn learn(&mut self, batch: &Batch, x: Array2<f32>) -> Result<(Array2<f32>, SequencePass)> {
        let x = self.kept(batch)?.of(self.tensor(batch, x)?);
        let (y, pass) = self.layer.forward_training(x)?;
        Ok((self.array(batch, y)?, pass))
    }

    fn infer(&self, batch: &Batch, x: Array2<f32>) -> Result<Array2<f32>> {
        let x = self.kept(batch)?.of(self.tensor(batch, x)?);
        self.array(batch, self.layer.forward_inference(&x)?)
    }

    /// Goes back through the layer, which learns.
    fn descend(
        &mut self,
        batch: &Batch,
        pass: &SequencePass,
        dy: Array2<f32>,
    ) -> Result<Array2<f32>> {
        let gradients = pass.backward(&self.tensor(batch, dy)?)?;
        let parameters = self.layer.parameters_mut().zip(gradients.parameters());
        for ((_, parameter), (_, gradient)) in parameters {
            for (value, slope) in parameter.slice_mut().iter_mut().zip(gradient.slice()) {
                *value -= RATE * slope;
            }
        }
        self.array(batch, gradients.input)
    }
}

/// What a network that was trained so gets right of the test images, in one batch padded as the first of training's; and the running variance
/// of its first channel.
fn train(digits: &Digits<f32>, padded_to: &[usize], masked: bool, seed: u64) -> Result<(f64, f64)> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let mut drawn: Vec<usize> = (0..TRAINING_ROWS).collect();
    shuffle(&mut drawn, &mut random);
    drawn.truncate(IMAGES);
    let cpu = Cpu::with_threads(1)?;
    let config = BatchNormConfig::new(WIDTH).activation(Activation::Relu);
    let norm = |channels_first| -> Result<Norm> {
        Ok(Norm {
            layer: BatchNorm::new(&cpu, config)?,
            channels_first,
            masked,
        })
    };
    let mut norms = [norm(false)?, norm(true)?];
    let mut dense = [
        weights(3 * seed, 3 * PIXELS, WIDTH),
        weights(3 * seed + 1, 3 * WIDTH, WIDTH),
        weights(3 * seed + 2, WIDTH, 10),
    ];
    let mut bias = Array1::zeros(10);
    for step in 0..STEPS {
        let batch = Batch::of(digits, &drawn, padded_to[step % padded_to.len()])?;
        let (mut inputs, mut passes, mut x) = (vec![], vec![], batch.columns.clone());
        for (dense, norm) in dense.iter().zip(&mut norms) {
            inputs.push(batch.windows(&x));
            let (y, pass) = norm.learn(&batch, inputs[inputs.len() - 1].dot(dense))?;
            passes.push(pass);
            x = y;
        }
        let pooled = batch.pooled(&x);
        let dy = gradient_of_logits(pooled.dot(&dense[2]) + &bias, &batch.labels);
        bias.scaled_add(-RATE, &dy.sum_axis(Axis(0)));
        let mut dx = batch.pooled_backward(&dy.dot(&dense[2].t()));
        dense[2].scaled_add(-RATE, &pooled.t().dot(&dy));
        for layer in (0..2).rev() {
            let dy = norms[layer].descend(&batch, &passes[layer], dx)?;
            dx = batch.windows_backward(&dy.dot(&dense[layer].t()));
            dense[layer].scaled_add(-RATE, &inputs[layer].t().dot(&dy));
        }
    }
    let test: Vec<usize> = (TRAINING_ROWS..digits.labels.len()).collect();
    let batch = Batch::of(digits, &test, padded_to[0])?;
    let mut x = batch.columns.clone();
    for (dense, norm) in dense.iter().zip(&norms) {
        x = norm.infer(&batch, batch.windows(&x).dot(dense))?;
    }
    let logits = batch.pooled(&x).dot(&dense[2]) + &bias;
    let pairs = batch.labels.iter().zip(logits.outer_iter());
    let right = pairs.filter(|(label, logits)| logits.iter().all(|&of| of <= logits[**label]));
    let accuracy = right.count() as f64 / test.len() as f64;
    let running = norms[0].layer.running().expect("it has them");
    Ok((accuracy, f64::from(running.variance().slice()[0])))
}

fn shuffle(rows: &mut [usize], random: &mut SplitMix64) {
    for last in (1..rows.len()).rev() {
        let other = random.next_u64() % (last as u64 + 1);
        rows.swap(last, usize::try_from(other).expect("below the length"));
    }
}

/// Of the mean cross-entropy.
fn gradient_of_logits(mut logits: Array2<f32>, labels: &[usize]) -> Array2<f32> {
    let count = labels.len() as f32;
    for (mut row, &label) in logits.outer_iter_mut().zip(labels) {
        let largest = row.fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit));
        row.mapv_inplace(|logit| (logit - largest).exp());
        let sum = row.sum();
        row.mapv_inplace(|power| power / sum / count);
        row[label] -= 1.0 / count;
    }
    logits
}
