//! The first minute with this crate: what batch norm is for, on real digits, and how fast it is on this machine.
//!
//! ```text
//! cargo run --release -p quickstart
//! ```
//!
//! With `--features cuda` GPU 0 is measured too, where there is one. How each number is made is told in full, with several
//! seeds and limits, by the packages `six_roles` and `roofline`.

mod depth;
mod learning_rate;
mod speed;
mod training;

use std::error::Error;

use batchnorm::{Device, Shape};
use digits_data::digits::Digits;
use indicatif::{ProgressBar, ProgressStyle};

use crate::training::Split;

/// x of the first layer of a ResNet-50, 32 images: too large for any cache.
const SHAPE: [usize; 4] = [32, 64, 112, 112];
const ROUNDS: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    println!("batchnorm on {}\n", Device::explain());
    let split = Split::new(&Digits::load()?);
    show_depth(&split)?;
    show_learning_rate(&split)?;
    show_speed()
}

fn show_depth(split: &Split) -> Result<(), Box<dyn Error>> {
    let protocol = depth::PROTOCOL;
    println!(
        "1. Depth. Fully connected, {} layers of 64 with ReLU, PyTorch's default weights; {} images of digits to learn\n   \
         from, {} to test; {} steps of gradient descent, the best of {} learning rates.\n",
        protocol.depth,
        split.training.len(),
        split.test.len(),
        protocol.steps,
        protocol.rates.len(),
    );
    let progress = progress("training", protocol.total_steps() as u64)?;
    let compared = protocol.measure(split, &progress)?;
    progress.finish_and_clear();
    println!("{}", compared.table());
    println!(
        "Test accuracy in % over steps, above with batch norm, below without:\n{}",
        compared.chart()
    );
    let [without, with] = compared.accuracies().map(|accuracy| 100.0 * accuracy);
    println!("{without:.0} % without batch norm, {with:.0} % with it; a guess has 10 %.\n");
    Ok(())
}

fn show_learning_rate(split: &Split) -> Result<(), Box<dyn Error>> {
    let protocol = learning_rate::PROTOCOL;
    println!(
        "2. Learning rate. {} layers with He's weights, made for ReLU, which train without batch norm too: test accuracy\n   \
         after {} steps. Stable is what ends at {:.0} % or more.\n",
        protocol.depth,
        protocol.steps,
        100.0 * learning_rate::STABLE,
    );
    let progress = progress("training", protocol.total_steps() as u64)?;
    let compared = protocol.measure(split, &progress)?;
    progress.finish_and_clear();
    println!("{}", compared.table());
    let [without, with] = compared
        .largest_stable()
        .map(|rate| rate.map_or_else(|| "none".into(), |rate| rate.to_string()));
    println!("Largest stable rate: {without} without batch norm, {with} with it.\n");
    Ok(())
}

fn show_speed() -> Result<(), Box<dyn Error>> {
    let shape = Shape::channels_first(&SHAPE)?;
    println!(
        "3. Speed on this machine. {} in f32, {:.0} MB an array, medians of {ROUNDS} rounds; forward is the training pass.\n",
        workload::shapes::name(&SHAPE),
        (shape.len() * size_of::<f32>()) as f64 / 1e6,
    );
    let progress = progress("measuring", 0)?;
    let rows = speed::measure(shape, ROUNDS, &progress)?;
    progress.finish_and_clear();
    println!("{}", speed::table(&rows));
    if let Some([forward, backward]) = speed::times_as_fast(&rows) {
        println!(
            "{forward:.0} times as fast as the loop forward, {backward:.0} times backward. More shapes, types and passes:\n\
             cargo run --release -p roofline"
        );
    }
    Ok(())
}

fn progress(what: &'static str, length: u64) -> Result<ProgressBar, Box<dyn Error>> {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {elapsed}")?;
    let progress = ProgressBar::new(length).with_style(style);
    Ok(progress.with_message(what))
}
