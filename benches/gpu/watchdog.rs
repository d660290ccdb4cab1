//! Ends the process when it has not been calmed for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{process, thread};

pub(crate) struct Watchdog(Arc<Mutex<Instant>>);

impl Watchdog {
    /// One that waits so long, and begins now.
    pub(crate) fn of(patience: Duration) -> Self {
        let calmed = Arc::new(Mutex::new(Instant::now()));
        let watched = Arc::clone(&calmed);
        thread::spawn(move || {
            while last(&watched).elapsed() < patience {
                thread::sleep(Duration::from_millis(100));
            }
            eprintln!("nothing was measured for {} s", patience.as_secs());
            // Not `exit`, which would wait for the driver, and that for the kernel.
            process::abort();
        });
        Self(calmed)
    }

    /// Something was measured.
    pub(crate) fn calm(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

fn last(calmed: &Mutex<Instant>) -> Instant {
    *calmed.lock().unwrap_or_else(PoisonError::into_inner)
}
