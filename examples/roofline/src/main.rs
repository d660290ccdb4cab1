//! How near the memory limit each pass is: time, bytes a second, and share of what streaming the same bytes takes on the
//! same threads in the same run.
//!
//! Bytes are those that must be read and written, however clever the pass: forward and inference x and y, backward x, dy
//! and dx, and a residual, its gradient and a mask where there are such. The limit is one read and one write
//! (`y = a·x + b`) of two arrays, or two reads and one write (`dx = a·dy + b·x + c`) of three; where a pass has more, in
//! proportion to the bytes. Sets of arrays take turns, so that nothing is found in cache, unless the whole problem is small
//! enough to stay in a core's own: then the limit is that of the same cached arrays.
//!
//! ```text
//! cargo run --release -p roofline
//! cargo run --release -p roofline -- --sizes --chart target/roofline
//! ```

#[cfg(feature = "charts")]
mod charts;
mod floats;
#[cfg(feature = "cuda")]
mod gpu;
mod measure;
#[cfg(not(feature = "cuda"))]
mod no_gpu;
mod options;
mod report;
mod row;
mod sizes;

use std::error::Error;
use std::process::ExitCode;

use batchnorm::Cpu;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use workload::limit::Limit;
use workload::processor::Processor;

use crate::measure::{Measurement, Place};
#[cfg(not(feature = "cuda"))]
use crate::no_gpu as gpu;
use crate::options::Options;
use crate::row::Row;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let processor = Processor::read();
    println!("{processor}");
    let mut rows = cpu_rows(options)?;
    let gpu = gpu::rows(options);
    let gpu_missing = gpu.as_ref().err().map(ToString::to_string);
    rows.extend(gpu.unwrap_or_default());

    print!("{}", report::figures(&rows));
    if options.sizes {
        print!("{}", report::growth(&rows));
    } else {
        print!("{}", report::summary(&rows));
    }
    if let Some(reason) = &gpu_missing {
        println!("\nno GPU was measured: {reason}");
    }
    if let Some(path) = &options.json {
        let beside = json!({ "rounds": options.rounds(), "gpu_missing": gpu_missing });
        tables::json::write(path, &processor, &rows, beside)?;
    }
    #[cfg(feature = "charts")]
    if let Some(folder) = &options.chart {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
        charts::save(&rows, options.sizes, &processor.model, folder)?;
        println!("\ncharts are in {}", folder.display());
    }
    Ok(())
}

/// Every shape and data type at every place.
fn cpu_rows(options: &Options) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut places = Vec::new();
    for level in options.levels() {
        for threads in options.threads() {
            places.push(Place {
                cpu: Cpu::with_threads(threads)?.at_level(level)?,
                limit: Limit::new(threads)?,
            });
        }
    }
    let (passes, shapes) = (options.passes(), options.shapes()?);
    let style = "{msg:44} {wide_bar} {elapsed} of about {duration}";
    let progress = ProgressBar::no_length().with_style(ProgressStyle::with_template(style)?);
    let with = Measurement {
        places: &places,
        passes: &passes,
        rounds: options.rounds(),
        progress: &progress,
    };
    let work: u64 = shapes.iter().map(|shape| with.work(shape)).sum();
    progress.set_length(work * options.dtype.len() as u64);
    let mut rows = Vec::new();
    for &dtype in &options.dtype {
        for &shape in &shapes {
            progress.set_message(shape.to_string());
            rows.extend(with.rows(dtype, shape)?);
        }
    }
    progress.finish_and_clear();
    Ok(rows)
}
