//! Accesses beside an array: those that only AddressSanitizer sees, and those that show without it. Each in a process of
//! its own, which they end.

use batchnorm_simt::sees_overruns;

use crate::launch::{Launch, hopper, whole_numbers};
use crate::process::{failure, number};

const OVERRUN: &str = "BATCHNORM_TEST_OVERRUN";

/// What a process prints, with AddressSanitizer or without, when [`overruns`] does this.
fn prints(overrun: usize, with: &str, without: &str) {
    let found = failure("overruns::overruns", OVERRUN, &overrun.to_string());
    let found = found.unwrap_or_else(|| panic!("overrun {overrun} was not found"));
    let expected = if sees_overruns() { with } else { without };
    assert!(found.contains(expected), "{expected:?} is not in {found}");
}

#[test]
fn reading_behind_an_array() {
    prints(0, "heap-buffer-overflow", "read NaN");
}

#[test]
fn writing_behind_an_array() {
    prints(
        1,
        "heap-buffer-overflow",
        "written beside an array of 4 bytes",
    );
}

#[test]
fn writing_before_an_array() {
    prints(
        2,
        "heap-buffer-overflow",
        "written beside an array of 4 bytes",
    );
}

#[test]
fn writing_behind_shared_memory() {
    prints(
        3,
        "heap-buffer-overflow",
        "written past the end of its shared memory",
    );
}

#[test]
#[ignore = "the tests before run it"]
fn overruns() {
    let driver = hopper();
    let past_the_end = |shared_byte, byte| {
        let launch = Launch::new(&driver, "selftest_past_the_end_f32", 1, 32).shared(16);
        let result = launch.packets(byte, shared_byte).run::<f32, f32>(&[0.0], 1);
        result.expect("a launch");
    };
    match number(OVERRUN) {
        0 => {
            let x = whole_numbers(4);
            let launch = Launch::new(&driver, "selftest_packets_f32", 1, 128).packets(2, 0);
            let y: Vec<f32> = launch.run(&x, 8).expect("a launch");
            assert!(!y.iter().any(|y| y.is_nan()), "it has read NaN");
        }
        1 => past_the_end(0, 4),
        2 => past_the_end(0, -1),
        3 => past_the_end(16, 0),
        other => panic!("there is no overrun {other}"),
    }
}
