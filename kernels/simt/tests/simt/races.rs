//! Races between blocks, which ThreadSanitizer sees whatever the order they run in.

use batchnorm_simt::{SimtDevice, SimtDriver, faults, sees_races};

use crate::launch::{Launch, whole_numbers};
use crate::process::{failure, number};

const FAULT: &str = "BATCHNORM_TEST_RACE";

#[test]
fn a_missing_wait_is_a_race() {
    if !sees_races() {
        println!("skipped: the kernels were not compiled with ThreadSanitizer");
        return;
    }
    assert_eq!(
        failure("races::grid_with_a_fault", FAULT, "0"),
        None,
        "without any"
    );
    let wait = faults()
        .into_iter()
        .find(|fault| fault.correct.contains("load_acquire") && fault.number > 9000);
    let number = wait.expect("the wait of selftest_grid").number;
    let found = failure("races::grid_with_a_fault", FAULT, &number.to_string()).expect("a race");
    assert!(
        found.contains("ThreadSanitizer: data race") && found.contains("selftest_grid_f32"),
        "{found}"
    );
}

#[test]
#[ignore = "a_missing_wait_is_a_race runs it"]
fn grid_with_a_fault() {
    for seed in 0..20 {
        let driver = SimtDriver::new(SimtDevice::hopper()).expect("a driver");
        let driver = driver.with_seed(seed).with_fault(number(FAULT));
        let launch = Launch::new(&driver, "selftest_grid_f32", 8, 128).cooperative();
        launch
            .run::<f32, f32>(&whole_numbers(8), 8)
            .expect("a launch");
    }
}
