//! Whoever takes turns.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::problem::{PassKind, Result};

/// Where a contender's time is printed. Of those in the same column it is the fastest one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Column {
    Limit,
    Ours,
    OursAllocating,
    PyTorch,
    OneDnn,
    OneDnnBlocked,
    Candle,
    Burn,
    OursInCandle,
    OursInBurn,
}

impl Column {
    pub const ALL: [Column; 10] = [
        Column::Limit,
        Column::Ours,
        Column::OursAllocating,
        Column::PyTorch,
        Column::OneDnn,
        Column::OneDnnBlocked,
        Column::Candle,
        Column::Burn,
        Column::OursInCandle,
        Column::OursInBurn,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Column::Limit => "limit",
            Column::Ours => "ours",
            Column::OursAllocating => "ours, allocating",
            Column::PyTorch => "PyTorch",
            Column::OneDnn => "oneDNN",
            Column::OneDnnBlocked => "oneDNN blocked",
            Column::Candle => "candle-nn",
            Column::Burn => "burn",
            Column::OursInCandle => "ours in candle",
            Column::OursInBurn => "ours in burn",
        }
    }
}

/// A batch norm with arrays of one problem, or the limit.
pub trait Contender {
    fn name(&self) -> String;
    fn column(&self) -> Column;
    /// y or dx of the first set, in the problem's order; none, if this computes something else.
    fn result(&mut self, pass: PassKind) -> Result<Option<Vec<f32>>>;
    /// Runs a pass that is not timed, and then as many as fill the length, one at least, over the sets in turn. The seconds
    /// of each.
    fn turn(&mut self, pass: PassKind, length: Duration) -> Result<Vec<f64>>;
}

/// One that runs in this process.
pub trait InProcess {
    fn name(&self) -> String;
    fn column(&self) -> Column;
    fn sets(&self) -> usize;
    /// Runs a pass over a set; the time is that of the pass alone.
    fn run(&mut self, pass: PassKind, set: usize) -> Result<Duration>;
    /// What the last pass wrote, which was over this set; none, if it is nothing to compare.
    fn written(&self, set: usize) -> Result<Option<Vec<f32>>>;
    /// Frees what the last pass made, so that the next turn finds the memory that this one found.
    fn free(&mut self) {}
}

/// The turns of one that runs in this process.
pub struct InTurn<C> {
    contender: C,
    passes: usize,
}

impl<C: InProcess + 'static> InTurn<C> {
    pub fn boxed(contender: C) -> Box<dyn Contender> {
        Box::new(Self {
            contender,
            passes: 0,
        })
    }

    fn next(&mut self, pass: PassKind) -> Result<Duration> {
        self.passes += 1;
        let set = self.passes % self.contender.sets();
        self.contender.run(pass, set)
    }
}

impl<C: InProcess + 'static> Contender for InTurn<C> {
    fn name(&self) -> String {
        self.contender.name()
    }

    fn column(&self) -> Column {
        self.contender.column()
    }

    fn result(&mut self, pass: PassKind) -> Result<Option<Vec<f32>>> {
        self.contender.run(pass, 0)?;
        let written = self.contender.written(0);
        self.contender.free();
        written
    }

    fn turn(&mut self, pass: PassKind, length: Duration) -> Result<Vec<f64>> {
        self.next(pass)?;
        let (mut times, start) = (vec![], Instant::now());
        while times.is_empty() || start.elapsed() < length {
            times.push(self.next(pass)?.as_secs_f64());
        }
        self.contender.free();
        Ok(times)
    }
}
