//! Trains a small classifier of handwritten digits with and without batch norm, and prints how good both are.
//!
//! ```text
//! cargo run --release --example digits -- --epochs 5 --seeds 5
//! ```

mod comparison;
mod dense;
mod hidden;
mod network;
mod options;
mod progress;
mod scaling;

use std::error::Error;
use std::time::Instant;

use batchnorm::Device;
use comparison::{Arm, BATCH, Outcome, RATES, Split, median};
use digits_data::digits::Digits;
use options::Options;
use progress::Progress;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(Options { epochs, seeds }) = Options::parse(std::env::args().skip(1))? else {
        print!("{}", options::HELP);
        return Ok(());
    };
    let device = Device::best_available();
    println!("batch norm runs on {device}");
    let split = Split::new(&Digits::load()?);

    let arm = |name, normalize_on| Arm {
        name,
        normalize_on,
        epochs,
        seeds,
    };
    let (without, with) = (
        arm("without batch norm", None),
        arm("with batch norm", Some(&device)),
    );
    let progress = Progress::of(without.total_epochs() + with.total_epochs());
    let (without, without_seconds) = timed(&without, &split, &progress)?;
    let (with, with_seconds) = timed(&with, &split, &progress)?;
    progress.finish();

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
    progress: &Progress,
) -> Result<(Outcome, f64), batchnorm::Error> {
    let start = Instant::now();
    let outcome = arm.measure(split, progress)?;
    Ok((outcome, start.elapsed().as_secs_f64()))
}

fn row(name: &str, cells: [impl AsRef<str>; 2]) {
    let [without, with] = cells;
    println!("  {name:18} {:>9} {:>16}", without.as_ref(), with.as_ref());
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}
