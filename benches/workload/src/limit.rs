//! The limit: the time it takes only to move the bytes that a pass must read and write.
//!
//! One read and one write ([`Limit::copy`]: `y = a·x + b`) for forward passes, two reads and one write
//! ([`Limit::combine`]: `dx = a·dy + b·x + c`) for backward passes, over the same arrays, on as many threads, in the same
//! run. There are several [`ways`](Limit::ways) to do it, and which is the fastest depends on the size: time all of them,
//! taking turns with the passes; the limit is the one with the least median.
//!
//! Half types are moved as what they are, bytes: `f32` of half as many.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::stream::{Stores, Stream, value};

/// From so many bytes on, sharing the work among threads may pay.
const SHARED_FROM: usize = 64 << 10;
/// From so many bytes on, it does.
const ALONE_BELOW: usize = 4 << 20;
/// Values that a thread claims at a time, so that one that is held up holds up nothing else: at least and at most.
const CLAIM: (usize, usize) = (4 << 10, 128 << 10);
/// Claims for each thread, where they are not larger or smaller than that.
const CLAIMS: usize = 16;

/// One way to move the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    stores: Stores,
    /// On one thread, though there are more.
    alone: bool,
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.stores {
            Stores::WriteBack => "write-back",
            Stores::NonTemporal => "non-temporal",
        })?;
        formatter.write_str(if self.alone { ", one thread" } else { "" })
    }
}

/// Moves bytes on a number of threads.
#[derive(Debug)]
pub struct Limit {
    stream: Stream,
    pool: ThreadPool,
}

impl Limit {
    /// On a pool of so many threads. Checks that every way computes what it should.
    pub fn new(threads: usize) -> Result<Self, String> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let limit = Self {
            stream: Stream::detect(),
            pool: pool.map_err(|error| format!("no pool of {threads} threads: {error}"))?,
        };
        limit.check()?;
        Ok(limit)
    }

    /// The ways worth trying where the arrays have so many bytes together.
    pub fn ways(&self, bytes: usize) -> Vec<Way> {
        let threads = self.pool.current_num_threads();
        let mut ways = Vec::new();
        for &stores in self.stream.stores() {
            for alone in [true, false] {
                let tried = if alone {
                    threads == 1 || bytes < ALONE_BELOW
                } else {
                    threads > 1 && bytes >= SHARED_FROM
                };
                if tried {
                    ways.push(Way { stores, alone });
                }
            }
        }
        ways
    }

    /// The time of `calls` times `y = a·x + b`.
    pub fn copy(&self, way: Way, calls: u32, x: &[f32], y: &mut [f32]) -> Duration {
        self.time(way, calls, [x], y)
    }

    /// The time of `calls` times `dx = a·dy + b·x + c`.
    pub fn combine(&self, way: Way, calls: u32, dy: &[f32], x: &[f32], dx: &mut [f32]) -> Duration {
        self.time(way, calls, [dy, x], dx)
    }

    fn time<const N: usize>(
        &self,
        way: Way,
        calls: u32,
        inputs: [&[f32]; N],
        out: &mut [f32],
    ) -> Duration {
        if way.alone {
            return timed(calls, out, |out| self.stream.run(way.stores, inputs, out));
        }
        // The clock runs inside the pool: to be let in is no part of moving bytes.
        self.pool
            .install(|| timed(calls, out, |out| self.shared(way.stores, inputs, out)))
    }

    /// Once, by all threads.
    fn shared<const N: usize>(&self, stores: Stores, inputs: [&[f32]; N], out: &mut [f32]) {
        let claim = out.len() / (CLAIMS * self.pool.current_num_threads());
        let claim = claim.clamp(CLAIM.0, CLAIM.1).next_multiple_of(CLAIM.0);
        out.par_chunks_mut(claim)
            .enumerate()
            .with_max_len(1)
            .for_each(|(index, out)| {
                let start = index * claim;
                let inputs = inputs.map(|input| &input[start..start + out.len()]);
                self.stream.run(stores, inputs, out);
            });
    }

    /// Whether every way writes what it should and all of it, wherever the arrays begin and end.
    fn check(&self) -> Result<(), String> {
        let len = 5 * CLAIM.0 + 13;
        let array = |step: u16| -> Vec<f32> {
            let values = (0..u16::MAX).cycle().step_by(usize::from(step));
            values
                .take(len)
                .map(|value| f32::from(value) - 1e3)
                .collect()
        };
        let (dy, x) = (array(7), array(11));
        for way in self.ways(ALONE_BELOW - 1) {
            for start in [0, 1, 3, 16] {
                let (dy, x) = (&dy[start..], &x[start..]);
                let mut y = vec![f32::NAN; len];
                self.copy(way, 1, x, &mut y[start..]);
                let copied = (0..x.len()).all(|i| y[start + i] == value([x[i]]));
                self.combine(way, 1, dy, x, &mut y[start..]);
                let combined = (0..x.len()).all(|i| y[start + i] == value([dy[i], x[i]]));
                if !copied || !combined || y[..start].iter().any(|value| !value.is_nan()) {
                    return Err(format!(
                        "the limit is not what it says: {way}, from {start} on"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn timed(calls: u32, out: &mut [f32], call: impl Fn(&mut [f32])) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        call(black_box(&mut *out));
    }
    start.elapsed()
}
