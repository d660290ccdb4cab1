//! This crate's batch norm beside candle's and burn's, in `f32`, channels first, in one run: their passes take turns, each
//! cell is a median, the data is random, and all results are compared before anything is timed.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```

mod burn_layer;
mod candle_layer;
mod native;
mod problem;

use std::time::{Duration, Instant};

use batchnorm::Cpu;
use problem::{Contender, Pass, Problem};

/// N, C, H, W.
const SHAPES: [[usize; 4]; 7] = [
    [32, 64, 112, 112],
    [32, 256, 28, 28],
    [32, 512, 14, 14],
    [32, 512, 7, 7],
    [4096, 1024, 1, 1],
    [60, 100, 1, 1],
    [8, 16, 8, 8],
];
/// How long the passes of one cell take turns, and how often at least.
const TIME: Duration = Duration::from_secs(4);
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "median ms of passes in turn, f32, channels first, {}",
        Cpu::new()
    );
    println!(
        "native: this crate into memory that is there; candle: its layer in candle, which allocates\nratios: candle-nn to candle, burn to native; backward begins with dy, for burn with its product and sum"
    );
    println!(
        "{:>16} {:>9} | {:>9} {:>9} | {:>9} {:>6} | {:>9} {:>6}",
        "N x C x H x W", "pass", "native", "candle", "candle-nn", "ratio", "burn", "ratio"
    );
    for dims in SHAPES {
        let problem = Problem::random(dims);
        let mut contenders: Vec<Box<dyn Contender>> = vec![
            Box::new(native::Native::new(&problem)?),
            Box::new(candle_layer::Candle::ours(&problem)?),
            Box::new(candle_layer::Candle::theirs(&problem)?),
            Box::new(burn_layer::Burn::new(&problem)),
        ];
        for pass in Pass::ALL {
            compare(&mut contenders, pass)?;
            let [native, candle, candle_nn, burn] = medians(&mut contenders, pass)?[..] else {
                unreachable!("four contenders")
            };
            println!(
                "{:>16} {:>9} | {native:>9.4} {candle:>9.4} | {candle_nn:>9.4} {:>6.1} | {burn:>9.4} {:>6.1}",
                dims.map(|dim| dim.to_string()).join("x"),
                pass.name(),
                candle_nn / candle,
                burn / native,
            );
        }
    }
    Ok(())
}

/// Checks that all compute the same.
fn compare(contenders: &mut [Box<dyn Contender>], pass: Pass) -> problem::Result<()> {
    let expected = contenders[0].run(pass)?.0.values()?;
    let largest = expected
        .iter()
        .fold(0f32, |largest, value| largest.max(value.abs()));
    for contender in &mut contenders[1..] {
        let found = contender.run(pass)?.0.values()?;
        assert_eq!(found.len(), expected.len());
        let difference = found
            .iter()
            .zip(&expected)
            .fold(0f32, |difference, (a, b)| difference.max((a - b).abs()));
        assert!(
            difference <= 1e-4 * largest,
            "{} differs by {difference:e} of {largest:e} in {}",
            contender.name(),
            pass.name()
        );
    }
    Ok(())
}

/// The median milliseconds of each, all taking turns.
fn medians(contenders: &mut [Box<dyn Contender>], pass: Pass) -> problem::Result<Vec<f64>> {
    let mut times = vec![vec![]; contenders.len()];
    let start = Instant::now();
    while times[0].len() < ROUNDS || start.elapsed() < TIME {
        for (contender, times) in contenders.iter_mut().zip(&mut times) {
            let (result, time) = contender.run(pass)?;
            drop(result);
            times.push(time.as_secs_f64() * 1e3);
        }
    }
    Ok(times
        .into_iter()
        .map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        })
        .collect())
}
