//! What only a GPU can show: graphs, streams beside each other, and arrays of more than 2³¹ values. Without one each test
//! says that it was skipped.

mod graph;
mod large;
mod outputs;
mod streams;

use std::io::Write;

use cuda_machine::machine::Machine;

/// The GPU, or the word that there is none: written past the test harness, which keeps what a passing test prints to
/// itself.
fn machine(check: &str) -> Option<Machine> {
    let machine = Machine::open();
    machine
        .map_err(|error| skipped(check, &error.to_string()))
        .ok()
}

fn skipped(check: &str, why: &str) {
    writeln!(std::io::stderr(), "skipped {check}: {why}").expect("standard error");
}
