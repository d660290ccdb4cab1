//! All contenders of a problem: first compared, then timed in turn.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::contender::{Column, Contender};
use crate::problem::{PassKind, Result};

/// How often everybody gets a turn, at least.
const ROUNDS: usize = 7;
const TURN: Duration = Duration::from_millis(20);
/// Between turns: threads that wait for more work, as OpenMP's do, keep a processor busy for some milliseconds.
const REST: Duration = Duration::from_millis(10);
/// Of results, to the largest value.
const TOLERANCE: f32 = 1e-4;

/// A contender's median.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Median {
    pub contender: String,
    pub column: Column,
    pub seconds: f64,
    /// Of one pass.
    pub least: f64,
    pub passes: usize,
}

/// Checks that all compute what the first one computes.
pub fn compare(contenders: &mut [Box<dyn Contender>], pass: PassKind) -> Result<()> {
    let mut expected: Option<Vec<f32>> = None;
    for contender in contenders {
        let Some(found) = contender.result(pass)? else {
            continue;
        };
        let Some(expected) = &expected else {
            expected = Some(found);
            continue;
        };
        let largest = expected
            .iter()
            .fold(0f32, |most, value| most.max(value.abs()));
        let bound = TOLERANCE * largest;
        let name = contender.name();
        if found.len() != expected.len() {
            let (found, expected) = (found.len(), expected.len());
            return Err(format!("{name} gives {found} values, not {expected}").into());
        }
        // So that NaN differs too.
        let same = |(a, b): (&f32, &f32)| (a - b).abs() <= bound;
        if let Some(at) = found.iter().zip(expected).position(|pair| !same(pair)) {
            return Err(format!(
                "{name} differs in the {} pass: value {at} is {}, not {} (of at most {largest})",
                pass.name(),
                found[at],
                expected[at],
            )
            .into());
        }
    }
    Ok(())
}

/// Everybody's median over rounds, whose order is drawn.
pub fn medians(
    contenders: &mut [Box<dyn Contender>],
    pass: PassKind,
    length: Duration,
    random: &mut StdRng,
) -> Result<Vec<Median>> {
    let mut times = vec![vec![]; contenders.len()];
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    let (mut rounds, start) = (0, Instant::now());
    while rounds < ROUNDS || start.elapsed() < length {
        order.shuffle(random);
        for &index in &order {
            sleep(REST);
            times[index].extend(contenders[index].turn(pass, TURN)?);
        }
        rounds += 1;
    }
    let medians = contenders.iter().zip(&mut times);
    Ok(medians
        .map(|(contender, times)| {
            times.sort_by(f64::total_cmp);
            Median {
                contender: contender.name(),
                column: contender.column(),
                seconds: times[times.len() / 2],
                least: times[0],
                passes: times.len(),
            }
        })
        .collect())
}
