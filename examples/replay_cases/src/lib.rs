//! Replays batch normalization that another framework recorded: the example `replay` but for the device that only another
//! package has.
#![allow(clippy::missing_errors_doc, reason = "of one program")]

mod arguments;
pub mod case;
mod files;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use batchnorm::backend::Backend;
use batchnorm::{Cpu, Device, Error};

use crate::arguments::{Arguments, DeviceName};
use crate::case::Result;

/// Does what the command line says. `simt` is the host that runs the GPU's kernels on the processor, or why there is none.
pub fn run_program<B: Backend + Display>(simt: impl FnOnce() -> batchnorm::Result<B>) -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            // Whoever reads may have gone away.
            let _ = write!(std::io::stdout(), "{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            let _ = write!(
                std::io::stderr(),
                "error: {message}\n\n{}",
                arguments::USAGE
            );
            return ExitCode::from(2);
        }
    };
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
