//! The host finds what is wrong in a kernel, and says where.

use batchnorm_simt::{SimtDevice, SimtDriver, sees_overruns, sees_races};

use crate::launch::{Launch, hopper, whole_numbers};

/// The error of a kernel with a mistake; the launch after it must be as if nothing had been.
fn found(kernel: &str, cluster: u32) -> String {
    let driver = hopper();
    let x = whole_numbers(64 * cluster as usize);
    let error = Launch::new(&driver, kernel, cluster, 64)
        .cluster(cluster)
        .refused(&x);
    assert!(
        error.contains(kernel) && error.contains("BATCHNORM_SIMT_SEED="),
        "{error}"
    );
    let sum: Vec<f32> = Launch::new(&driver, "selftest_block_sum_f32", 1, 64)
        .run(&x, 1)
        .expect("a launch");
    assert_eq!(sum, [x[..64].iter().sum::<f32>()]);
    error
}

/// The lines of `selftest.cu` that an error names.
fn lines(error: &str) -> usize {
    error.matches("selftest.cu:").count()
}

#[test]
fn a_barrier_that_threads_reach_in_two_places() {
    let error = found("selftest_divergent_f32", 1);
    assert!(
        error.contains("waits here, but others wait for it") && lines(&error) == 2,
        "{error}"
    );
}

#[test]
fn a_thread_that_ends_before_a_barrier() {
    let error = found("selftest_early_exit_f32", 1);
    let either = error.contains("waits for threads that have ended")
        || error.contains("has ended, but others wait");
    assert!(either && lines(&error) == 1, "{error}");
}

#[test]
fn a_warp_of_which_half_waits_elsewhere() {
    let error = found("selftest_half_warp_f32", 1);
    assert!(
        error.contains("32 threads wait for their warp")
            && error.contains("32 threads wait for their block"),
        "{error}"
    );
    assert_eq!(lines(&error), 2, "{error}");
}

#[test]
fn a_warp_that_is_not_whole() {
    let driver = hopper();
    let error = Launch::new(&driver, "selftest_block_sum_f32", 1, 40).refused(&whole_numbers(40));
    assert!(error.contains("its warp has no 32 lanes"), "{error}");
}

#[test]
fn a_wait_that_nobody_ends() {
    let error = found("selftest_never_f32", 1);
    assert!(
        error.contains("all blocks wait for what never happens"),
        "{error}"
    );
    assert!(
        error.contains("1 threads look at a flag")
            && error.contains("63 threads wait for their block"),
        "{error}"
    );
}

#[test]
fn a_block_that_leaves_its_cluster() {
    let error = found("selftest_cluster_exit_f32", 2);
    assert!(
        error.contains("the blocks of a cluster wait in different places"),
        "{error}"
    );
    assert!(
        error.contains("block has ended") && lines(&error) == 1,
        "{error}"
    );
}

#[test]
fn waiting_for_blocks_that_do_not_run() {
    let driver = SimtDriver::new(SimtDevice::turing())
        .expect("a driver")
        .with_resident_blocks(2);
    let error = Launch::new(&driver, "selftest_grid_f32", 5, 32).refused(&whole_numbers(5));
    assert!(
        error.contains("all blocks wait for what never happens"),
        "{error}"
    );
}

#[test]
fn packets_that_are_not_aligned() {
    let driver = hopper();
    let x = whole_numbers(64);
    for first_byte in [4, 8] {
        let launch = Launch::new(&driver, "selftest_packets_f32", 1, 32).packets(2, first_byte);
        let error = launch.refused(&x);
        assert!(
            error.contains("not 16-byte aligned") && lines(&error) == 1,
            "{error}"
        );
    }
}

#[test]
fn a_copy_that_begins_before_its_place_was_read() {
    let driver = hopper();
    let launch = Launch::new(&driver, "selftest_copied_too_early_f32", 1, 32).shared(32 * 16);
    let out: Vec<f32> = launch
        .run(&whole_numbers(4 * 32), 4 * 32)
        .expect("a launch");
    assert!(out.iter().all(|value| value.is_nan()), "{out:?}");
}

#[test]
fn two_copies_to_the_same_place() {
    let driver = hopper();
    let launch = Launch::new(&driver, "selftest_copied_twice_f32", 1, 32).shared(32 * 16);
    let error = launch.refused(&whole_numbers(4 * 32));
    assert!(
        error.contains("two copies on their way to the same place") && lines(&error) == 1,
        "{error}"
    );
}

#[test]
fn counters_that_are_left_behind() {
    let driver = hopper();
    let error = Launch::new(&driver, "selftest_counts_f32", 1, 32).refused(&whole_numbers(32));
    assert!(error.contains("counter 0 is not zero after it"), "{error}");
}

#[test]
fn more_shared_memory_than_there_is() {
    let driver = SimtDriver::new(SimtDevice::tiny()).expect("a driver");
    let launch = |shared| Launch::new(&driver, "selftest_large_shared_f32", 1, 64).shared(shared);
    assert!(launch(36 << 10).run::<f32, f32>(&[0.0], 64).is_ok());
    let error = launch((36 << 10) + 16).refused(&whole_numbers(64));
    assert!(
        error.contains("no room for the shared array large"),
        "{error}"
    );
}

#[test]
fn more_stack_than_there_is() {
    if sees_overruns() || sees_races() {
        println!("skipped: the stacks are larger under a sanitizer");
        return;
    }
    let error = found("selftest_deep_f32", 1);
    assert!(error.contains("more stack than the host gives"), "{error}");
}

#[test]
fn an_activation_that_kernels_do_not_know() {
    let driver = hopper();
    for backward in [0, 1] {
        let kernel = "selftest_unknown_activation_f32";
        let launch = Launch::new(&driver, kernel, 1, 64).packets(0, backward);
        let error = launch.refused(&whole_numbers(64));
        assert!(
            error.contains(" traps (at ") && error.contains("computed.cuh:"),
            "{backward}: {error}"
        );
    }
}
