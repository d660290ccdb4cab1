//! A program of its own in which candle keeps a graph of gradients, so that they can be differentiated again.

use std::env::current_exe;
use std::process::Command;

/// candle detaches what goes through more than one operation, unless it is told not to, and asks once in a thread.
const NOT_DETACHED: &str = "CANDLE_GRAD_DO_NOT_DETACH";

/// Runs a test that is ignored otherwise.
pub(crate) fn run_in_one_graph(test: &str) {
    let run = Command::new(current_exe().expect("this program"))
        .args(["--exact", test, "--ignored"])
        .env(NOT_DETACHED, "1")
        .output()
        .expect("a run");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}
