//! Batch renormalization of small groups on real digits: 64-100-100-10, ReLU, 240 training images drawn for each seed, full-batch
//! gradient descent, 400 steps at a rate of 0.316. The batch is split into groups (ghost batches), of images at random or of images
//! sorted by their digit, which are far from independent; plain or renormalized with the paper's schedule, a hundredth as long.
//!
//! `cargo run --release --example renormalization`

#[expect(
    dead_code,
    reason = "the trajectory records more of the data than a training needs"
)]
#[path = "../tests/trajectory/digits.rs"]
mod digits;

use std::ops::Range;

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Cpu, Data, Pass, Renormalization,
    RenormalizationSchedule, Result, Tensor,
};
use ndarray::{Array1, Array2, Axis};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use crate::digits::{Digits, TRAINING_ROWS, weights};

const IMAGES: usize = 240;
const WIDTH: usize = 100;
const STEPS: u64 = 400;
const RATE: f32 = 0.316;
const MOMENTUM: f64 = 0.1;
const SEEDS: Range<u64> = 0..10;
const SCHEDULE: RenormalizationSchedule =
    RenormalizationSchedule::new(50, Renormalization::new(3.0, 5.0), 400, 250);

/// What statistics are taken over, and whether they are renormalized.
#[derive(Clone, Copy)]
struct Arm {
    group: usize,
    sorted: bool,
    renormalized: bool,
}

fn main() -> Result<()> {
    let digits = Digits::<f32>::read();
    println!("groups                        | plain accuracy  | renormalized    | difference");
    for (group, sorted) in [(240, false), (12, false), (4, false), (2, false), (4, true)] {
        let accuracies = |renormalized| -> Result<Vec<f64>> {
            let arm = Arm {
                group,
                sorted,
                renormalized,
            };
            let seeds = SEEDS.into_par_iter();
            seeds.map(|seed| accuracy(&digits, arm, seed)).collect()
        };
        let (plain, renormalized) = (accuracies(false)?, accuracies(true)?);
        let pairs = renormalized.iter().zip(&plain);
        let differences: Vec<f64> = pairs.map(|(with, without)| with - without).collect();
        let images = if sorted {
            "sorted by digit"
        } else {
            "at random"
        };
        println!(
            "of {group:3}, images {images:15} | {} | {} | {}",
            mean(&plain),
            mean(&renormalized),
            mean(&differences)
        );
    }
    Ok(())
}

/// The mean over seeds, and its standard error.
fn mean(values: &[f64]) -> String {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let error = (squares / (count * (count - 1.0))).sqrt();
    format!("{mean:7.4} ± {error:.4}")
}

/// What a network that was trained so gets right of the test images.
fn accuracy(digits: &Digits<f32>, arm: Arm, seed: u64) -> Result<f64> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let mut drawn: Vec<usize> = (0..TRAINING_ROWS).collect();
    shuffle(&mut drawn, &mut random);
    drawn.truncate(IMAGES);
    let mut network = Network::new(arm, seed)?;
    for step in 0..STEPS {
        shuffle(&mut drawn, &mut random);
        if arm.sorted {
            drawn.sort_by_key(|&row| digits.labels[row]);
        }
        let labels: Vec<usize> = drawn.iter().map(|&row| digits.labels[row]).collect();
        if arm.renormalized {
            for norm in &mut network.norms {
                norm.set_renormalization(SCHEDULE.at(step))?;
            }
        }
        network.learn(digits.pixels.select(Axis(0), &drawn), &labels)?;
    }
    let test: Vec<usize> = (TRAINING_ROWS..digits.labels.len()).collect();
    let logits = network.infer(digits.pixels.select(Axis(0), &test))?;
    let is_right = |(row, logits): (&usize, ndarray::ArrayView1<'_, f32>)| {
        let label = digits.labels[*row];
        logits.iter().all(|&logit| logit <= logits[label])
    };
    let pairs = test.iter().zip(logits.outer_iter());
    let right = pairs.filter(|&(row, logits)| is_right((row, logits)));
    Ok(right.count() as f64 / test.len() as f64)
}

fn shuffle(rows: &mut [usize], random: &mut SplitMix64) {
    for last in (1..rows.len()).rev() {
        let other = random.next_u64() % (last as u64 + 1);
        rows.swap(last, usize::try_from(other).expect("below the length"));
    }
}

struct Network {
    dense: [Array2<f32>; 3],
    norms: [BatchNorm<Cpu>; 2],
    bias: Array1<f32>,
}

impl Network {
    fn new(arm: Arm, seed: u64) -> Result<Self> {
        let cpu = Cpu::with_threads(1)?;
        let groups = IMAGES / arm.group;
        // All groups of a step together have the weight of a batch.
        let momentum = 1.0 - (1.0 - MOMENTUM).powf(1.0 / groups as f64);
        let config = BatchNormConfig::new(WIDTH)
            .momentum(momentum)
            .activation(Activation::Relu)
            .ghost_batch(arm.group);
        Ok(Self {
            dense: [
                weights(3 * seed, 64, WIDTH),
                weights(3 * seed + 1, WIDTH, WIDTH),
                weights(3 * seed + 2, WIDTH, 10),
            ],
            norms: [BatchNorm::new(&cpu, config)?, BatchNorm::new(&cpu, config)?],
            bias: Array1::zeros(10),
        })
    }

    /// A step of gradient descent.
    fn learn(&mut self, images: Array2<f32>, labels: &[usize]) -> Result<()> {
        let (mut inputs, mut passes) = (vec![images], vec![]);
        for (dense, norm) in self.dense.iter().zip(&mut self.norms) {
            let (y, pass) = norm.forward_training(inputs[inputs.len() - 1].dot(dense))?;
            passes.push(pass);
            inputs.push(array(y)?);
        }
        let logits = inputs[2].dot(&self.dense[2]) + &self.bias;
        let mut dy = gradient_of_logits(logits, labels);
        self.bias.scaled_add(-RATE, &dy.sum_axis(Axis(0)));
        for layer in (0..3).rev() {
            let dx = dy.dot(&self.dense[layer].t());
            self.dense[layer].scaled_add(-RATE, &inputs[layer].t().dot(&dy));
            if let Some(below) = layer.checked_sub(1) {
                dy = descend(&mut self.norms[below], &passes[below], &dx)?;
            }
        }
        Ok(())
    }

    fn infer(&self, images: Array2<f32>) -> Result<Array2<f32>> {
        let mut x = images;
        for (dense, norm) in self.dense.iter().zip(&self.norms) {
            x = array(norm.forward_inference(&x.dot(dense))?)?;
        }
        Ok(x.dot(&self.dense[2]) + &self.bias)
    }
}

/// Goes back through a layer, which learns.
fn descend(
    norm: &mut BatchNorm<Cpu>,
    pass: &Pass<impl Data<Cpu, Element = f32>, Cpu>,
    dy: &Array2<f32>,
) -> Result<Array2<f32>> {
    let gradients = pass.backward(dy)?;
    for ((_, parameter), (_, gradient)) in norm.parameters_mut().zip(gradients.parameters()) {
        for (value, slope) in parameter.slice_mut().iter_mut().zip(gradient.slice()) {
            *value -= RATE * slope;
        }
    }
    array(gradients.input)
}

fn array(of: Tensor<f32, Cpu>) -> Result<Array2<f32>> {
    let dims = (of.shape().batch(), of.shape().channels());
    let values = of.into_vec()?;
    Ok(Array2::from_shape_vec(dims, values).expect("as many values as its shape says"))
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
