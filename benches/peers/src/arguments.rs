//! The command line.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

use clap::Parser;

use crate::allocator::Allocator;
use crate::problem::{Layout, PassKind};

/// This crate's batch norm beside those of PyTorch, oneDNN, candle and burn, and the memory limit, in f32.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// N, C and spatial dimensions, such as 32x64x56x56; several, with commas. All of the table's, if there is none.
    #[arg(long, value_delimiter = ',', value_parser = dims)]
    pub shape: Vec<Dims>,
    /// Only these passes.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub pass: Vec<PassKind>,
    /// Only these layouts.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub layout: Vec<Layout>,
    /// How long the contenders of a row take turns, at least.
    #[arg(long, default_value_t = 5.0)]
    pub seconds: f64,
    /// Threads of everybody; all processors, if not given.
    #[arg(long, value_parser = threads)]
    pub threads: Option<usize>,
    /// Whether memory that is freed stays with a process.
    #[arg(long, value_enum, default_value_t = Allocator::Keeping)]
    pub allocator: Allocator,
    /// An interpreter that has PyTorch, instead of an environment made for it.
    #[arg(long, value_name = "PYTHON")]
    pub pytorch_python: Option<PathBuf>,
    /// One that has the package onednn.
    #[arg(long, value_name = "PYTHON")]
    pub onednn_python: Option<PathBuf>,
    /// One that has the package onednn-cpu-gomp.
    #[arg(long, value_name = "PYTHON")]
    pub onednn_openmp_python: Option<PathBuf>,
    /// Without PyTorch and oneDNN.
    #[arg(long)]
    pub no_python: bool,
    /// Fail if PyTorch or oneDNN cannot be run.
    #[arg(long, conflicts_with = "no_python")]
    pub require_python: bool,
    /// Write the figures to a file as well.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Measure nothing, and print the tables of what processes before have written to such files: of each row and contender the
    /// median of their medians.
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    pub merge: Vec<PathBuf>,
}

/// As they are on the command line.
pub type Dims = Vec<usize>;

fn dims(word: &str) -> Result<Vec<usize>, String> {
    let dims: Result<Vec<usize>, _> = word.split('x').map(str::parse).collect();
    match dims {
        Ok(dims) if (2..=5).contains(&dims.len()) && !dims.contains(&0) => Ok(dims),
        _ => Err("not 2 to 5 positive numbers with x between them".into()),
    }
}

fn threads(word: &str) -> Result<usize, String> {
    let most = available_parallelism().map_or(1, NonZero::get);
    match word.parse() {
        Ok(threads) if (1..=most).contains(&threads) => Ok(threads),
        _ => Err(format!(
            "not a number from 1 to {most}, the processors here"
        )),
    }
}

impl Arguments {
    pub fn threads(&self) -> usize {
        self.threads
            .unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get))
    }
}
