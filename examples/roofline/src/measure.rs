//! Times the passes on one problem. The limit, each way to it, and every pass take turns, each on the next set of
//! arrays; a share of the limit is taken within a round, so that what slows a whole round down is in both.

use std::time::{Duration, Instant};

use batchnorm::{Cpu, Layout, Result, Shape};
use half::{bf16, f16};
use indicatif::ProgressBar;
use tables::spread::{Spread, median};
use workload::limit::{Limit, Way};
use workload::passes::Pass;
use workload::problem::Problem;
use workload::shapes::{self, ARRAYS};

use crate::floats::{Floats, Type};
use crate::row::{CHANNELS_FIRST, Row};

/// What the clock must run for, where calls are shorter.
const SAMPLE: Duration = Duration::from_micros(200);
/// For the progress bar: values that are moved meanwhile,
const SAMPLE_VALUES: usize = 1 << 20;
/// and how many are moved while one is made and first written.
const FILLED_VALUE: usize = 6;

/// Where passes run, and the limit on as many threads.
pub(crate) struct Place {
    pub(crate) cpu: Cpu,
    pub(crate) limit: Limit,
}

/// What to do with every problem.
pub(crate) struct Measurement<'a> {
    pub(crate) places: &'a [Place],
    pub(crate) passes: &'a [Pass],
    pub(crate) rounds: usize,
    pub(crate) progress: &'a ProgressBar,
}

/// Who takes a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The limit of as many arrays.
    Limit(usize, Way),
    Pass(Pass),
}

/// The arrays that the limit of a pass moves, at most as many as the pass: where a pass has more (a residual's gradient, a
/// mask), its limit is that time in proportion to the bytes.
fn limit_arrays(pass: Pass) -> usize {
    pass.arrays().min(3)
}

impl Measurement<'_> {
    /// The rows of one shape and data type.
    pub(crate) fn rows(&self, dtype: Type, shape: Shape) -> Result<Vec<Row>> {
        match dtype {
            Type::F32 => self.rows_of::<f32>(shape),
            Type::F16 => self.rows_of::<f16>(shape),
            Type::Bf16 => self.rows_of::<bf16>(shape),
        }
    }

    /// What the progress bar counts, about: values read or written.
    pub(crate) fn work(&self, shape: &Shape) -> u64 {
        let turns = self
            .places
            .iter()
            .flat_map(|place| self.turns(place, shape, size_of::<f32>()));
        let timed: usize = turns.map(|turn| work(turn, shape)).sum();
        (fill_work(shape) + self.rounds * timed) as u64
    }

    /// Those of one round, where a value has so many bytes.
    fn turns(&self, place: &Place, shape: &Shape, value: usize) -> Vec<Turn> {
        let mut turns = Vec::new();
        for arrays in [2, 3] {
            if self.passes.iter().any(|&pass| limit_arrays(pass) == arrays) {
                let ways = place.limit.ways(arrays * shape.len() * value);
                turns.extend(ways.into_iter().map(|way| Turn::Limit(arrays, way)));
            }
        }
        turns.extend(self.passes.iter().map(|&pass| Turn::Pass(pass)));
        turns
    }

    fn rows_of<T: Floats>(&self, shape: Shape) -> Result<Vec<Row>> {
        let mut problem = Problem::<T>::new(shape)?;
        self.progress.inc(fill_work(&shape) as u64);
        let mut rows = Vec::new();
        for place in self.places {
            // Statistics and masks for those who read them, and every page touched.
            let first = Turn::Pass(Pass::ForwardTrainingAddRelu);
            for set in 0..problem.sets.len() {
                time(place, first, &mut problem, set, 1)?;
            }
            let turns = self.turns(place, &shape, size_of::<T>());
            let times = self.times(place, &turns, &mut problem)?;
            for (turn, seconds) in turns.iter().zip(&times) {
                if let Turn::Pass(pass) = *turn {
                    let limit = limit(pass, &turns, &times);
                    rows.push(row::<T>(&problem, place, pass, seconds, limit));
                }
            }
        }
        Ok(rows)
    }

    /// Seconds of one call of each, in the order of the rounds.
    fn times<T: Floats>(
        &self,
        place: &Place,
        turns: &[Turn],
        problem: &mut Problem<T>,
    ) -> Result<Vec<Vec<f64>>> {
        let sets = problem.sets.len();
        let mut calls = vec![1; turns.len()];
        if sets == 1 {
            for (&turn, calls) in turns.iter().zip(&mut calls) {
                *calls = calls_of_sample(place, turn, problem)?;
            }
        }
        let work: usize = turns.iter().map(|&turn| work(turn, &problem.shape)).sum();
        let mut times = vec![Vec::with_capacity(self.rounds); turns.len()];
        let mut set = 0;
        for _ in 0..self.rounds {
            for ((&turn, &calls), times) in turns.iter().zip(&calls).zip(&mut times) {
                let time = time(place, turn, problem, set, calls)?;
                times.push(time.as_secs_f64() / f64::from(calls));
                set = (set + 1) % sets;
            }
            self.progress.inc(work as u64);
        }
        Ok(times)
    }
}

/// What the progress bar counts for one turn.
fn work(turn: Turn, shape: &Shape) -> usize {
    let arrays = match turn {
        Turn::Limit(arrays, _) => arrays,
        Turn::Pass(pass) => pass.arrays(),
    };
    (arrays * shape.len()).max(SAMPLE_VALUES)
}

/// What it counts for making a problem.
fn fill_work(shape: &Shape) -> usize {
    let bytes = shape.len() * size_of::<f32>();
    FILLED_VALUE * ARRAYS * shapes::sets(bytes) * shape.len()
}

/// How many calls it takes that the clock runs long enough.
fn calls_of_sample<T: Floats>(place: &Place, turn: Turn, problem: &mut Problem<T>) -> Result<u32> {
    let mut least = Duration::MAX;
    for _ in 0..3 {
        least = least.min(time(place, turn, problem, 0, 1)?);
    }
    let calls = SAMPLE.as_nanos().div_ceil(least.as_nanos().max(1));
    Ok(u32::try_from(calls).unwrap_or(u32::MAX))
}

/// The time of so many calls on one set of arrays.
fn time<T: Floats>(
    place: &Place,
    turn: Turn,
    problem: &mut Problem<T>,
    set: usize,
    calls: u32,
) -> Result<Duration> {
    let Problem {
        shape,
        sets,
        channels,
    } = problem;
    let arrays = &mut sets[set];
    match turn {
        Turn::Limit(count, way) => {
            let (dy, x) = (T::floats(&arrays.dy), T::floats(&arrays.x));
            let out = T::floats_mut(&mut arrays.out);
            let len = dy.len().min(x.len()).min(out.len());
            let (dy, x, out) = (&dy[..len], &x[..len], &mut out[..len]);
            Ok(match count {
                2 => place.limit.copy(way, calls, x, out),
                _ => place.limit.combine(way, calls, dy, x, out),
            })
        }
        Turn::Pass(pass) => {
            let start = Instant::now();
            for _ in 0..calls {
                pass.run(&place.cpu, shape, arrays, channels)?;
            }
            Ok(start.elapsed())
        }
    }
}

/// The fastest way to the limit of a pass: how many arrays it moves, which way it is, and its times.
fn limit<'a>(pass: Pass, turns: &[Turn], times: &'a [Vec<f64>]) -> (usize, Way, &'a [f64]) {
    let arrays = limit_arrays(pass);
    let ways = turns
        .iter()
        .zip(times)
        .filter_map(|(turn, times)| match turn {
            Turn::Limit(count, way) if *count == arrays => Some((*way, times.as_slice())),
            _ => None,
        });
    let of = |times: &[f64]| median(times.iter().copied());
    let fastest = ways.min_by(|(_, a), (_, b)| of(a).total_cmp(&of(b)));
    let (way, times) = fastest.expect("every pass has a limit");
    (arrays, way, times)
}

fn row<T: Floats>(
    problem: &Problem<T>,
    place: &Place,
    pass: Pass,
    seconds: &[f64],
    (arrays, way, limit): (usize, Way, &[f64]),
) -> Row {
    let shape = &problem.shape;
    let bytes = pass.bytes::<T>(shape);
    let scale = bytes as f64 / (arrays * shape.len() * size_of::<T>()) as f64;
    let limit: Vec<_> = limit.iter().map(|seconds| scale * seconds).collect();
    Row {
        device: place.cpu.to_string(),
        level: Some(place.cpu.level().name()),
        threads: Some(place.cpu.threads()),
        dims: shape.logical_dims(),
        layout: layout(shape),
        dtype: T::DTYPE.to_string(),
        pass: pass.name(),
        bytes,
        cached: problem.sets.len() == 1,
        share: Spread::of(limit.iter().zip(seconds).map(|(limit, time)| limit / time)),
        seconds: Spread::of(seconds.iter().copied()),
        limit_seconds: Spread::of(limit),
        limit_way: way.to_string(),
    }
}

fn layout(shape: &Shape) -> &'static str {
    match (shape.spatial(), shape.layout()) {
        (1, _) => "(N, C)",
        (_, Layout::ChannelsFirst) => CHANNELS_FIRST,
        (_, Layout::ChannelsLast) => "channels last",
    }
}
