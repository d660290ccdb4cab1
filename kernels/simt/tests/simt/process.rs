//! A test in a process of its own, for mistakes that may end the process.

use std::env;
use std::process::Command;

/// Runs one test of this program, one that is ignored otherwise, with an environment variable set. If it fails, all that
/// it printed.
pub(crate) fn failure(test: &str, variable: &str, value: &str) -> Option<String> {
    let program = env::current_exe().expect("the program that runs");
    let output = Command::new(program)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(variable, value)
        .output()
        .expect("a process");
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert!(
        printed.contains("running 1 test"),
        "{test} is no ignored test: {printed}"
    );
    (!output.status.success()).then_some(printed)
}

/// The value of the variable, in a test that [`failure`] runs.
pub(crate) fn number(variable: &str) -> u32 {
    let value =
        env::var(variable).unwrap_or_else(|_| panic!("{variable} says what this test is to do"));
    value.parse().expect("a number")
}
