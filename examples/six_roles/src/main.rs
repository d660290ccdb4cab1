//! The six things batch normalization is known for, each measured on real images, and drawn.
//!
//! ```text
//! cargo run --release -p six_roles -- --quick
//! ```

mod context;
mod convolution;
mod data;
mod initialization;
mod network;
mod noise;
mod normalization;
mod report;
mod residual;
mod roles;
mod runner;
mod sweep;
mod training;

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;
use std::{env, fs};

use candle_core::Device;
use clap::{Parser, ValueEnum, value_parser};
use digits_data::digits::Digits;

use crate::context::Context;
use crate::data::Split;
use crate::runner::Runner;

/// Measure the six roles of batch normalization on handwritten digits.
#[derive(Parser)]
struct Options {
    /// Only this role, 1 to 6
    #[arg(long, value_parser = value_parser!(u8).range(1..=i64::from(roles::COUNT)))]
    role: Option<u8>,
    /// Fewer seeds, learning rates and networks: minutes instead of an hour
    #[arg(long)]
    quick: bool,
    /// Where networks are trained
    #[arg(long, value_enum, default_value_t = Place::Cpu)]
    device: Place,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, instead of as many as the protocol has
    #[arg(long, value_parser = value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// Where the reports, the figures and the numbers of every run go
    #[arg(long, default_value = "target/six_roles")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Place {
    Cpu,
    Cuda,
}

impl Place {
    fn device(self) -> Result<Device, Box<dyn Error>> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => Device::new_cuda(0)
                .map_err(|error| format!("--device cuda cannot be had here: {error}").into()),
        }
    }
}

/// candle reads its number of threads from here at every matrix product, and counts the cores where there is nothing.
const CANDLE_THREADS: &str = "RAYON_NUM_THREADS";

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    // One run a core is several times faster than all cores in one run, whose matrices are small.
    if env::var_os(CANDLE_THREADS).is_none() {
        let status = Command::new(env::current_exe()?)
            .args(env::args_os().skip(1))
            .env(CANDLE_THREADS, "1")
            .status()?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
    }
    let device = options.device.device()?;
    let context = Context {
        split: Split::new(&Digits::load()?, &device)?,
        device,
        runner: Runner::new()?,
        quick: options.quick,
        first_seed: options.seed,
        seeds: options.seeds,
    };
    let out = &options.out;
    fs::create_dir_all(out)
        .map_err(|error| format!("cannot write to {}: {error}", out.display()))?;
    let roles = options.role.map_or(1..=roles::COUNT, |role| role..=role);
    if options.quick {
        println!("Quick form: fewer seeds and learning rates than the bands are made for.\n");
    }
    let start = Instant::now();
    for role in roles {
        let start = Instant::now();
        let report = roles::measure(role, &context)?;
        report.save(out)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{report}\n({seconds:.0} s)\n");
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{seconds:.0} s in all; numbers and figures are in {}",
        out.display()
    );
    Ok(ExitCode::SUCCESS)
}
