//! What a pass without its input saves: a step through a stack of 50 residual blocks, each
//!
//! ```text
//! z = W·h (a convolution of 1x1),   y = leaky_relu(batch norm(z) + h)
//! ```
//!
//! once with passes that keep z, once with passes that are given z anew, and once with passes that write y over z and keep that: h is kept
//! for the convolution anyway, z is computed from it again or found from y, which is the next block's h. Each way runs in a process of its
//! own, which tells the largest memory that it had (Linux). With z, kept or anew, the gradients must be the same to the bit, from y the
//! same but for rounding.
//!
//! `cargo run --release --example checkpointing`

use std::error::Error;
use std::process::Command;
use std::{env, fs};

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, CheckpointedPass, Cpu, Gradients, OutputPass, Pass,
    Result, Shape, Tensor,
};

const BLOCKS: usize = 50;
const CHANNELS: usize = 16;
const DIMS: [usize; 4] = [8, CHANNELS, 64, 64];

type Array = Tensor<f32, Cpu>;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    match env::args().nth(1).as_deref() {
        Some("kept") => print!("{}", step(Kept::Input)?.report()?),
        Some("again") => print!("{}", step(Kept::Statistics)?.report()?),
        Some("output") => print!("{}", step(Kept::Output)?.report()?),
        _ => {
            let [kept, again, output] = [run("kept")?, run("again")?, run("output")?];
            println!(
                "{BLOCKS} residual blocks of {DIMS:?}, f32: largest memory of a training step"
            );
            println!("z kept by the passes     {:4} MB", kept.megabytes);
            println!("z computed a second time {:4} MB", again.megabytes);
            println!("y written over z         {:4} MB", output.megabytes);
            if kept.bits != again.bits {
                return Err("the gradients of the first two ways differ".into());
            }
            let off = (output.size / kept.size - 1.0).abs();
            println!("from y the gradients' norm is off by {off:.0e} of itself");
            if off > 1e-3 {
                return Err("the gradients from y are others".into());
            }
        }
    }
    Ok(())
}

/// What a process tells of its way.
struct Answer {
    megabytes: u64,
    bits: u64,
    size: f64,
}

/// One of the ways in a process of its own.
fn run(way: &str) -> std::result::Result<Answer, Box<dyn Error>> {
    let output = Command::new(env::current_exe()?).arg(way).output()?;
    let answer = String::from_utf8(output.stdout)?;
    let words: Vec<&str> = answer.split(' ').collect();
    let [megabytes, bits, size] = words[..] else {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    };
    Ok(Answer {
        megabytes: megabytes.parse()?,
        bits: bits.parse()?,
        size: size.parse()?,
    })
}

/// All gradients of a step in short: their bits, and the sum of their squares.
#[derive(Default)]
struct Summary {
    bits: u64,
    squares: f64,
}

impl Summary {
    fn add(&mut self, values: &[f32]) {
        for value in values {
            let mixed = self.bits ^ u64::from(value.to_bits());
            self.bits = mixed.wrapping_mul(0x0100_0000_01b3);
            self.squares += f64::from(*value).powi(2);
        }
    }

    /// The largest memory that this process had in MB, the gradients' bits, and their norm.
    fn report(&self) -> std::result::Result<String, Box<dyn Error>> {
        let status = fs::read_to_string("/proc/self/status")?;
        let mut lines = status.lines();
        let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kibibytes: u64 = kibibytes.ok_or("no VmHWM")?.trim().parse()?;
        let megabytes = kibibytes * 1024 / 1_000_000;
        Ok(format!("{megabytes} {} {}", self.bits, self.squares.sqrt()))
    }
}

#[derive(Clone, Copy)]
enum Kept {
    Input,
    Statistics,
    Output,
}

/// What a block keeps: its batch norm's pass, and y.
enum Block {
    WithInput(Pass<Array, Cpu>, Array),
    WithoutInput(CheckpointedPass<f32, Cpu>, Array),
    WithOutput(OutputPass<Array, Cpu>),
}

impl Block {
    fn forward(
        weights: &Weights,
        norm: &mut BatchNorm<Cpu>,
        h: &Array,
        kept: Kept,
    ) -> Result<Self> {
        let z = weights.mix(h)?;
        if let Kept::Output = kept {
            return Ok(Block::WithOutput(
                norm.forward_training_in_place(z, Some(h))?,
            ));
        }
        let (y, pass) = norm.forward_training_add(z, h)?;
        Ok(match kept {
            Kept::Statistics => Block::WithoutInput(pass.without_input(), y),
            _ => Block::WithInput(pass, y),
        })
    }

    fn output(&self) -> &Array {
        match self {
            Block::WithInput(_, y) | Block::WithoutInput(_, y) => y,
            Block::WithOutput(pass) => pass.output(),
        }
    }

    fn backward(&self, weights: &Weights, h: &Array, dy: &Array) -> Result<Gradients<f32, Cpu>> {
        match self {
            Block::WithInput(pass, _) => pass.backward(dy),
            Block::WithoutInput(pass, _) => pass.backward(&weights.mix(h)?, dy),
            Block::WithOutput(pass) => pass.backward_add(h, dy),
        }
    }
}

/// A training step's gradients of all weights and of the first h.
fn step(kept: Kept) -> Result<Summary> {
    let cpu = Cpu::new();
    let config = BatchNormConfig::new(CHANNELS).activation(Activation::LeakyRelu { slope: 0.01 });
    let mut layers = (0..BLOCKS)
        .map(|block| Ok((Weights::new(block), BatchNorm::new(&cpu, config)?)))
        .collect::<Result<Vec<_>>>()?;
    let shape = Shape::channels_first(&DIMS)?;
    let values: Vec<f32> = (0..shape.len()).map(|i| (i as f32 * 0.7).sin()).collect();
    let first = Tensor::from_vec(&cpu, shape, values)?;
    let mut blocks: Vec<Block> = vec![];
    for (weights, norm) in &mut layers {
        let h = blocks.last().map_or(&first, Block::output);
        let block = Block::forward(weights, norm, h, kept)?;
        blocks.push(block);
    }
    // Of the loss ½·Σ y².
    let mut dy = blocks.last().map_or(&first, Block::output).clone();
    let mut summary = Summary::default();
    for (weights, _) in layers.iter().rev() {
        let Some(block) = blocks.pop() else { break };
        let h = blocks.last().map_or(&first, Block::output);
        let gradients = block.backward(weights, h, &dy)?;
        summary.add(&weights.gradient(h, &gradients.input));
        dy = weights.mix_back(&gradients.input, gradients.residual)?;
    }
    summary.add(dy.slice());
    Ok(summary)
}

/// W: a row of each channel of z.
struct Weights(Vec<[f32; CHANNELS]>);

impl Weights {
    fn new(block: usize) -> Self {
        let weight = |to: usize, from: usize| ((block * 7 + to * 17 + from * 3) as f32).sin() * 0.3;
        let row = |to| std::array::from_fn(|from| weight(to, from));
        Self((0..CHANNELS).map(row).collect())
    }

    /// z of h.
    fn mix(&self, h: &Array) -> Result<Array> {
        let mut z = Tensor::zeros(h.backend(), h.shape())?;
        for (z, h) in samples_mut(&mut z).zip(samples(h)) {
            for (z, row) in z.chunks_mut(DIMS[2] * DIMS[3]).zip(&self.0) {
                for (h, weight) in planes(h).zip(row) {
                    add(z, h, *weight);
                }
            }
        }
        Ok(z)
    }

    /// dh of dz, and of what goes around the block.
    fn mix_back(&self, dz: &Array, around: Option<Array>) -> Result<Array> {
        let mut dh = match around {
            Some(around) => around,
            None => Tensor::zeros(dz.backend(), dz.shape())?,
        };
        for (dh, dz) in samples_mut(&mut dh).zip(samples(dz)) {
            for (from, dh) in dh.chunks_mut(DIMS[2] * DIMS[3]).enumerate() {
                for (dz, row) in planes(dz).zip(&self.0) {
                    add(dh, dz, row[from]);
                }
            }
        }
        Ok(dh)
    }

    /// dW of h and dz.
    fn gradient(&self, h: &Array, dz: &Array) -> Vec<f32> {
        let mut gradient = vec![0.0; self.0.len() * CHANNELS];
        for (h, dz) in samples(h).zip(samples(dz)) {
            for (row, dz) in gradient.chunks_mut(CHANNELS).zip(planes(dz)) {
                for (weight, h) in row.iter_mut().zip(planes(h)) {
                    *weight += h.iter().zip(dz).map(|(h, dz)| h * dz).sum::<f32>();
                }
            }
        }
        gradient
    }
}

fn add(to: &mut [f32], from: &[f32], weight: f32) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += weight * from;
    }
}

fn samples(of: &Array) -> impl Iterator<Item = &[f32]> {
    of.slice().chunks(DIMS[1] * DIMS[2] * DIMS[3])
}

fn samples_mut(of: &mut Array) -> impl Iterator<Item = &mut [f32]> {
    of.slice_mut().chunks_mut(DIMS[1] * DIMS[2] * DIMS[3])
}

fn planes(of: &[f32]) -> impl Iterator<Item = &[f32]> {
    of.chunks(DIMS[2] * DIMS[3])
}
