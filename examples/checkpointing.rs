//! What a pass without its input saves: a step through a stack of 50 residual blocks, each
//!
//! ```text
//! z = W·h (a convolution of 1x1),   y = relu(batch norm(z) + h)
//! ```
//!
//! once with passes that keep z, once with passes that are given z anew: h is kept for the convolution anyway, and z is computed from it
//! again. Each way runs in a process of its own, which tells the largest memory that it had (Linux), and both must have the same
//! gradients to the bit.
//!
//! `cargo run --release --example checkpointing`

use std::error::Error;
use std::process::Command;
use std::{env, fs};

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, CheckpointedPass, Cpu, Gradients, Pass, Result, Shape,
    Tensor,
};

const BLOCKS: usize = 50;
const CHANNELS: usize = 16;
const DIMS: [usize; 4] = [8, CHANNELS, 64, 64];

type Array = Tensor<f32, Cpu>;

fn main() -> std::result::Result<(), Box<dyn Error>> {
    match env::args().nth(1).as_deref() {
        Some("kept") => print!("{}", report(step(Kept::Input)?)?),
        Some("again") => print!("{}", report(step(Kept::Statistics)?)?),
        _ => {
            let [kept, again] = [run("kept")?, run("again")?];
            println!(
                "{BLOCKS} residual blocks of {DIMS:?}, f32: largest memory of a training step"
            );
            println!("z kept by the passes     {:4} MB", kept.0);
            println!("z computed a second time {:4} MB", again.0);
            if kept.1 != again.1 {
                return Err("the gradients of the two ways differ".into());
            }
        }
    }
    Ok(())
}

/// One of the ways in a process of its own: its largest memory in MB, and its gradients' bits in short.
fn run(way: &str) -> std::result::Result<(u64, String), Box<dyn Error>> {
    let output = Command::new(env::current_exe()?).arg(way).output()?;
    let answer = String::from_utf8(output.stdout)?;
    let (memory, bits) = answer
        .split_once(' ')
        .ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((memory.parse()?, bits.to_owned()))
}

/// The largest memory that this process had, and what it computed.
fn report(bits: u64) -> std::result::Result<String, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: u64 = kibibytes.ok_or("no VmHWM")?.trim().parse()?;
    Ok(format!("{} {bits:016x}", kibibytes * 1024 / 1_000_000))
}

#[derive(Clone, Copy)]
enum Kept {
    Input,
    Statistics,
}

/// What a block keeps of its batch norm.
enum Norm {
    WithInput(Pass<Array, Cpu>),
    WithoutInput(CheckpointedPass<f32, Cpu>),
}

impl Norm {
    fn backward(&self, weights: &Weights, h: &Array, dy: &Array) -> Result<Gradients<f32, Cpu>> {
        match self {
            Norm::WithInput(pass) => pass.backward(dy),
            Norm::WithoutInput(pass) => pass.backward(&weights.mix(h)?, dy),
        }
    }
}

/// A training step's gradients of the first h and of all weights, as one number.
fn step(kept: Kept) -> Result<u64> {
    let cpu = Cpu::new();
    let config = BatchNormConfig::new(CHANNELS).activation(Activation::Relu);
    let mut blocks = (0..BLOCKS)
        .map(|block| Ok((Weights::new(block), BatchNorm::new(&cpu, config)?)))
        .collect::<Result<Vec<_>>>()?;
    let shape = Shape::channels_first(&DIMS)?;
    let values: Vec<f32> = (0..shape.len()).map(|i| (i as f32 * 0.7).sin()).collect();
    let mut h = Tensor::from_vec(&cpu, shape, values)?;
    let mut passes = vec![];
    for (weights, norm) in &mut blocks {
        let (y, pass) = norm.forward_training_add(weights.mix(&h)?, &h)?;
        let pass = match kept {
            Kept::Input => Norm::WithInput(pass),
            Kept::Statistics => Norm::WithoutInput(pass.without_input()),
        };
        passes.push((h, pass));
        h = y;
    }
    let (mut dy, mut bits) = (h, 0);
    for ((weights, _), (h, pass)) in blocks.iter().zip(passes).rev() {
        let gradients = pass.backward(weights, &h, &dy)?;
        bits = fold(bits, &weights.gradient(&h, &gradients.input));
        dy = weights.mix_back(&gradients.input, gradients.residual)?;
    }
    Ok(fold(bits, dy.slice()))
}

/// The bits of all values in short, after those of others.
fn fold(bits: u64, values: &[f32]) -> u64 {
    values.iter().fold(bits, |bits, value| {
        (bits ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3)
    })
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
