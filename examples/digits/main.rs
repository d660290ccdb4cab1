//! Trains a small classifier of handwritten digits with and without batch norm, and prints how good both are.
//!
//! ```text
//! cargo run --release --example digits -- --epochs 5 --seeds 5
//! ```

mod comparison;
mod data;
mod dense;
mod hidden;
mod network;
mod random;
mod scaling;

use std::error::Error;
use std::time::Instant;

use batchnorm::Device;
use clap::{Parser, value_parser};
use comparison::{Arm, BATCH, Outcome, RATES, Split, median};
use data::Digits;
use indicatif::{ProgressBar, ProgressStyle};

/// Train a small classifier of handwritten digits with and without batch norm.
#[derive(Parser)]
struct Options {
    /// How often each training run sees every image
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
    epochs: u32,
    /// How many runs, each from other random weights, the medians are taken over
    #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..))]
    seeds: u32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Options { epochs, seeds } = Options::parse();
    let device = Device::best_available();
    println!("batch norm runs on {device}");
    let split = Split::new(&Digits::load()?);

    let progress = ProgressBar::no_length().with_style(ProgressStyle::with_template(
        "{msg:18} {wide_bar} {pos}/{len} epochs, {eta} left",
    )?);
    let arm = |normalize_on| Arm {
        normalize_on,
        epochs,
        seeds,
        progress: &progress,
    };
    let (without, with) = (arm(None), arm(Some(&device)));
    progress.set_length(without.total_epochs() + with.total_epochs());

    let (without, without_seconds) = timed(&without, &split, "without batch norm")?;
    let (with, with_seconds) = timed(&with, &split, "with batch norm")?;
    progress.finish_and_clear();

    println!(
        "validation accuracy: {} images to train on, {} to choose the learning rate by",
        split.tuning.len(),
        split.validation.len(),
    );
    row("learning rate", ["without", "with batch norm"]);
    for (index, rate) in RATES.iter().enumerate() {
        let accuracies = [&without, &with].map(|arm| percent(arm.validation[index]));
        row(&rate.to_string(), accuracies);
    }
    println!(
        "test accuracy: {} images to train on at the best of those rates, {} to test",
        split.training.len(),
        split.test.len(),
    );
    let both = [&without, &with];
    row("", ["without", "with batch norm"]);
    row("learning rate", both.map(|arm| arm.rate.to_string()));
    row("median", both.map(|arm| percent(median(&arm.test))));
    row("least", both.map(|arm| percent(arm.test[0])));
    row(
        "most",
        both.map(|arm| percent(arm.test[arm.test.len() - 1])),
    );
    row(
        "seconds, all runs",
        [without_seconds, with_seconds].map(|seconds| format!("{seconds:.1}")),
    );
    println!("seeds: {seeds}, epochs: {epochs}, mini-batches of {BATCH}");
    Ok(())
}

/// What an arm measures, and in how many seconds.
fn timed(
    arm: &Arm<'_>,
    split: &Split,
    name: &'static str,
) -> Result<(Outcome, f64), batchnorm::Error> {
    arm.progress.set_message(name);
    let start = Instant::now();
    let outcome = arm.measure(split)?;
    Ok((outcome, start.elapsed().as_secs_f64()))
}

fn row(name: &str, cells: [impl AsRef<str>; 2]) {
    let [without, with] = cells;
    println!("  {name:18} {:>9} {:>16}", without.as_ref(), with.as_ref());
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
