//! A whole training, digit by digit: a small network learns handwritten digits by a recipe without random numbers
//! (tests/data/trajectory.json, `doc`), and every loss, running statistic and test result must be the recorded one.
//! Then that the record can tell: each of seven classic mistakes misses it.

mod digits;
mod library;
mod network;
mod textbook;

use std::collections::BTreeMap;

use digits::Float;
use library::{Library, Relu};
use network::{Trajectory, train};
use serde_json::Value;
use textbook::{MISTAKES, Textbook};

/// Well above what roundings come to in forty steps (3e-15 and 2e-6), and below what any mistake does (1.3e-5 at least).
const TOLERANCE_F64: f64 = 1e-10;
const TOLERANCE_F32: f64 = 1e-5;

fn record(dtype: &str) -> BTreeMap<String, Vec<f64>> {
    let all: Value = serde_json::from_str(include_str!("../data/trajectory.json")).unwrap();
    let entries = all[dtype].as_object().unwrap();
    let numbers = |value: &Value| match value {
        Value::Array(values) => values.iter().map(|value| value.as_f64().unwrap()).collect(),
        value => vec![value.as_f64().unwrap()],
    };
    entries
        .iter()
        .map(|(name, value)| (name.clone(), numbers(value)))
        .collect()
}

/// The largest distance from the record, and where it is. What is not a number is infinitely far.
fn distance(trajectory: &Trajectory, dtype: &str) -> (f64, String) {
    let record = record(dtype);
    assert!(record.keys().eq(trajectory.keys()), "{:?}", record.keys());
    let mut largest = (0.0, String::new());
    for (name, recorded) in &record {
        let found = &trajectory[&**name];
        assert_eq!(found.len(), recorded.len(), "the number of {name}");
        for (i, (found, recorded)) in found.iter().zip(recorded).enumerate() {
            let apart = (found - recorded).abs();
            let apart = if apart.is_nan() { f64::INFINITY } else { apart };
            if apart > largest.0 {
                largest = (apart, format!("{name}[{i}]: {found}, recorded {recorded}"));
            }
        }
    }
    largest
}

fn library_follows<F: Float>(relu: Relu, dtype: &str, tolerance: f64) {
    let trajectory = train::<F, _>([Library::new(relu), Library::new(relu)]);
    let (distance, place) = distance(&trajectory, dtype);
    println!("{dtype}, {relu:?}: {distance:e} from the record ({place})");
    assert!(distance <= tolerance, "{distance:e} at {place}");
}

#[test]
fn the_layer_with_its_own_relu_follows_the_record() {
    library_follows::<f64>(Relu::Fused, "f64", TOLERANCE_F64);
    library_follows::<f32>(Relu::Fused, "f32", TOLERANCE_F32);
}

#[test]
fn the_layer_before_a_relu_follows_the_record() {
    library_follows::<f64>(Relu::Separate, "f64", TOLERANCE_F64);
    library_follows::<f32>(Relu::Separate, "f32", TOLERANCE_F32);
}

#[test]
fn the_textbook_follows_the_record() {
    let trajectory = train([Textbook::new(None), Textbook::new(None)]);
    let (distance, place) = distance(&trajectory, "f64");
    println!("textbook: {distance:e} from the record ({place})");
    assert!(distance <= TOLERANCE_F64, "{distance:e} at {place}");
}

#[test]
fn every_mistake_misses_the_record() {
    for mistake in MISTAKES {
        let trajectory = train([Textbook::new(Some(mistake)), Textbook::new(Some(mistake))]);
        let (distance, place) = distance(&trajectory, "f64");
        println!("{mistake:?}: {distance:e} from the record ({place})");
        assert!(distance > 1e3 * TOLERANCE_F64, "{mistake:?} is not noticed");
    }
}
