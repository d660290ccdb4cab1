//! The passes on a GPU, beside what its memory can do: each shape, layout, data type and pass in a replayed graph with
//! rotating arrays. `benches/gpu.sh` runs it where there is no Rust.
//!
//! Prints tables in Markdown; `--json FILE` keeps the figures for `benches/gpu/pytorch.py`. Without a GPU it says why and
//! exits with 2.

mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use cuda_machine::machine::Machine;
use indicatif::{ProgressBar, ProgressStyle};
use workload::gpu::{ceilings, rows};

/// Times the passes on GPU 0.
#[derive(Debug, Parser)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "options of a command, each of its own"
)]
struct Arguments {
    /// Only the device, or why there is none.
    #[arg(long)]
    device: bool,
    /// Only batches of 32.
    #[arg(long)]
    quick: bool,
    /// Where the figures go.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
    /// What `cargo bench -- --test` adds: only whether it starts.
    #[arg(long, hide = true)]
    test: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let machine = match Machine::open() {
        Ok(machine) => machine,
        Err(error) => {
            eprintln!("nothing was measured: {error}");
            return ExitCode::from(if arguments.test { 0 } else { 2 });
        }
    };
    if arguments.device || arguments.test {
        println!("{}", machine.gpu);
        return ExitCode::SUCCESS;
    }
    match run(&machine, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(machine: &Machine, arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let ceilings = ceilings::measure(machine)?;
    println!("{}", report::head(machine)?);
    println!("{}", report::of_ceilings(&ceilings));
    let batches: &[usize] = if arguments.quick {
        &[32]
    } else {
        &[32, 128, 256]
    };
    let shapes = rows::shapes(batches);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {eta}")?;
    let progress = ProgressBar::new(shapes.len() as u64).with_style(style);
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for shape in shapes {
        progress.set_message(shape.to_string());
        for measured in rows::of_shape(machine, shape) {
            match measured {
                Ok(measured) => rows.extend(measured),
                Err(message) => missing.push(message),
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    println!("{}", report::of_rows(&rows, ceilings.limit()));
    for message in &missing {
        println!("not measured: {message}");
    }
    if let Some(path) = &arguments.json {
        report::write_json(path, machine, &ceilings, &rows)?;
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("{} of the shapes could not be measured", missing.len()).into())
    }
}
