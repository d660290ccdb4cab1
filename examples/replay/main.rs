//! Replays batch normalization that another framework recorded:
//! `cargo run --release --example replay -- IN OUT [--device cpu|cuda|simt] [--threads N]`.
//!
//! IN is a safetensors file, or a folder of them; OUT is the file, or the folder, for the results.
//! A case holds `x`, its dimensions in memory order: (N, C, ...) or (N, ..., C), 2 to 5 of them, of F32, F64, F16 or
//! BF16; and, as needed, `weight`, `bias`, `running_mean`, `running_var` (C values each; absent: off), `dy` and
//! `residual` (like x). Its metadata, all strings; a key left out takes the first value here:
//!
//! | key | values |
//! |---|---|
//! | `pass` | `training`, `inference`, `frozen` (inference's statistics, with gradients) |
//! | `layout` | `channels_first`, `channels_last` |
//! | `epsilon` | `1e-5`, or another number |
//! | `momentum` | `0.1`, or another number (the weight of the new batch), or `cumulative` |
//! | `num_batches_tracked` | `0`, or another whole number |
//! | `activation` | `none`, `relu` |
//!
//! The result holds `y`, `save_mean` and `save_invstd`; `running_mean`, `running_var` and `num_batches_tracked` if there
//! are running statistics; and with `dy` also `dx`, `dresidual`, `dweight`, `dbias`.
//!
//! A case that is refused puts one line on standard error, writes nothing, and makes the exit status 2; the others go on.

mod case;
mod files;

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use batchnorm::backend::Backend;
use batchnorm::{Cpu, Device, Error};
use case::Result;
use clap::{Parser, ValueEnum};

/// Replays batch normalization that another framework recorded in safetensors files.
#[derive(Parser)]
struct Arguments {
    /// A case, or a folder of *.safetensors cases.
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The file for the result, or the folder for the results.
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// What to compute on.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// The number of the CPU's threads [default: all].
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum DeviceName {
    Cpu,
    Cuda,
    Simt,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.device {
        DeviceName::Cpu => replay_all(&arguments, &cpu(arguments.threads)),
        DeviceName::Cuda => replay_all(&arguments, &Device::cuda(0)),
        DeviceName::Simt => replay_all(&arguments, &simt()),
    }
}

/// Replays every case. A device that is not there fails each of them, with a line of its own.
fn replay_all(
    arguments: &Arguments,
    device: &batchnorm::Result<impl Backend + Display>,
) -> ExitCode {
    let jobs = match files::jobs(&arguments.input, &arguments.output) {
        Ok(jobs) => jobs,
        Err(error) => {
            report(&arguments.input, error);
            return ExitCode::from(2);
        }
    };
    let mut status = ExitCode::SUCCESS;
    for files::Job { input, output } in jobs {
        if let Err(error) = run(&input, &output, device.as_ref()) {
            report(&input, error);
            status = ExitCode::from(2);
        }
    }
    status
}

fn cpu(threads: Option<usize>) -> batchnorm::Result<Cpu> {
    threads.map_or_else(|| Ok(Cpu::new()), Cpu::with_threads)
}

/// The GPU's kernels, run by the processor.
#[cfg(feature = "simt")]
fn simt() -> batchnorm::Result<batchnorm::simt::Simt> {
    use batchnorm::simt::{Simt, SimtDevice, SimtDriver};
    SimtDriver::new(SimtDevice::hopper()).map(Simt::on)
}

#[cfg(not(feature = "simt"))]
fn simt() -> batchnorm::Result<Device> {
    Err(Error::DeviceUnavailable {
        device: "simt".to_owned(),
        reason: "this build has no SIMT host (feature `simt`)".to_owned(),
    })
}

/// Replays one case.
fn run(
    input: &Path,
    output: &Path,
    device: batchnorm::Result<&(impl Backend + Display), &Error>,
) -> Result<()> {
    let device = device.map_err(Error::clone)?;
    let case = files::read(input)?;
    let start = Instant::now();
    let result = case::replay(&case, device)?;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3;
    files::write(output, &result)?;
    // Whoever reads may have gone away; the results are still wanted.
    let _ = writeln!(
        std::io::stdout(),
        "{}: {device}, {milliseconds:.3} ms",
        files::name(input)
    );
    Ok(())
}

/// One line on standard error, whatever the message has in it.
fn report(input: &Path, error: impl Display) {
    let line = format!("{}: {error}", files::name(input)).replace(char::is_control, " ");
    let _ = writeln!(std::io::stderr(), "{line}");
}
