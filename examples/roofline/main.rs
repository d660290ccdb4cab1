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
//! cargo run --release --example roofline
//! cargo run --release --example roofline -- --sizes --chart target/roofline
//! ```

#[cfg(feature = "cuda")]
#[path = "../../tests/cuda/arrays.rs"]
mod arrays;
#[expect(dead_code, reason = "the axes of another example are in it, too")]
#[path = "../six_roles/axis.rs"]
mod axis;
#[cfg(feature = "cuda")]
#[path = "../../benches/gpu/ceilings.rs"]
mod ceilings;
mod charts;
#[expect(dead_code, reason = "the colours of another example are in it, too")]
#[path = "../six_roles/figure.rs"]
mod figure;
mod floats;
#[cfg_attr(not(feature = "cuda"), path = "no_gpu.rs")]
mod gpu;
mod limit;
#[cfg(feature = "cuda")]
#[path = "../../tests/cuda/machine.rs"]
mod machine;
mod measure;
mod options;
mod passes;
#[path = "../six_roles/picture.rs"]
mod picture;
mod problem;
mod processor;
mod report;
mod row;
#[cfg(feature = "cuda")]
#[expect(dead_code, reason = "the shapes of another benchmark are in it, too")]
#[path = "../../benches/gpu/rows.rs"]
mod rows;
mod shapes;
mod sizes;
#[path = "../six_roles/spread.rs"]
mod spread;
#[path = "../six_roles/table.rs"]
mod table;
#[cfg(feature = "cuda")]
#[path = "../../benches/gpu/timing.rs"]
mod timing;

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use batchnorm::Cpu;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::limit::Limit;
use crate::measure::{Measurement, Place};
use crate::options::Options;
use crate::processor::Processor;
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
        let all = json!({
            "machine": processor,
            "rounds": options.rounds(),
            "gpu_missing": gpu_missing,
            "rows": rows,
        });
        fs::write(path, serde_json::to_string_pretty(&all)?)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    if let Some(folder) = &options.chart {
        fs::create_dir_all(folder)
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
