//! How far the training is: one line on standard error, if a person reads that.

use std::cell::Cell;
use std::io::{IsTerminal, Write, stderr};

pub(crate) struct Progress {
    epochs: u64,
    done: Cell<u64>,
    shown: bool,
}

impl Progress {
    /// Of so many epochs over all runs.
    pub(crate) fn of(epochs: u64) -> Self {
        Self {
            epochs,
            done: Cell::new(0),
            shown: stderr().is_terminal(),
        }
    }

    /// One more epoch, of the training with this name.
    pub(crate) fn epoch(&self, name: &str) {
        self.done.set(self.done.get() + 1);
        self.show(&format!(
            "{name:18} {} of {} epochs",
            self.done.get(),
            self.epochs
        ));
    }

    /// Takes the line away.
    pub(crate) fn finish(&self) {
        self.show("");
    }

    fn show(&self, line: &str) {
        if self.shown {
            // Back to the line's beginning, and what was there is erased.
            let _ = write!(stderr(), "\r\x1b[K{line}");
        }
    }
}
