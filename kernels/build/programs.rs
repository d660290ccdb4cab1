//! Other programs that the build runs: several at a time, and what they print where they fail.

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Compilers at a time: each takes a core and a few hundred megabytes.
const AT_A_TIME: usize = 2;

/// Does some work for each job, several at a time; what comes of it is in no order.
pub(super) fn at_a_time<J: Sync, D: Send>(jobs: &[J], work: impl Fn(&J) -> D + Sync) -> Vec<D> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let one = work(job);
                    done.lock()
                        .expect("no job panics while it holds this")
                        .push(one);
                }
            });
        }
    });
    done.into_inner()
        .expect("no job panics while it holds this")
}

/// What a command prints; a failed one fails the build and is shown with all it printed.
pub(super) fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let (printed, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?} failed, {}\n{printed}{said}\nIf the host compiler is the reason, name another one in NVCC_CCBIN.",
        output.status
    );
    printed.into_owned()
}
