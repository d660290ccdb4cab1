//! Right kernels give right results, in any order of threads and blocks.

use batchnorm_simt::{Grid, SimtDevice, SimtDriver};

use crate::launch::{Launch, hopper, whole_numbers};

fn sums(x: &[f32], per_sum: usize) -> Vec<f32> {
    x.chunks(per_sum).map(|chunk| chunk.iter().sum()).collect()
}

/// Different orders, some with one block at a time, some with more than there are processors.
fn drivers(device: SimtDevice) -> impl Iterator<Item = SimtDriver> {
    let resident = [1, 2, 4, 16].into_iter().cycle();
    (0..10).zip(resident).map(move |(seed, blocks)| {
        let driver = SimtDriver::new(device).expect("a driver");
        driver.with_seed(seed).with_resident_blocks(blocks)
    })
}

#[test]
fn every_thread_of_every_block_runs_once() {
    for driver in drivers(SimtDevice::turing()) {
        for (blocks, threads) in [(1, 1), (3, 33), (100, 64), (7, 1024)] {
            let launch = Launch::new(&driver, "selftest_indices_u32", blocks, threads);
            let len = (blocks * threads) as usize;
            let out: Vec<f32> = launch.run(&[0_f32], len).expect("a launch");
            for (i, value) in out.iter().enumerate() {
                assert_eq!(value.to_bits() as usize, i + 1, "{driver}");
            }
        }
    }
}

#[test]
fn blocks_reduce_with_shuffles_and_a_barrier() {
    for driver in drivers(SimtDevice::turing()) {
        for threads in [32u16, 96, 512] {
            let x = whole_numbers(9 * usize::from(threads));
            let launch = Launch::new(&driver, "selftest_block_sum_f32", 9, threads.into());
            assert_eq!(
                launch.run::<f32, f32>(&x, 9).expect("a launch"),
                sums(&x, threads.into()),
                "{driver}"
            );
        }
    }
}

#[test]
fn blocks_reduce_in_dynamic_shared_memory() {
    for driver in drivers(SimtDevice::turing()) {
        let x = whole_numbers(5 * 512);
        let launch = Launch::new(&driver, "selftest_tree_f32", 5, 512).shared(512 * 4);
        assert_eq!(
            launch.run::<f32, f32>(&x, 5).expect("a launch"),
            sums(&x, 512),
            "{driver}"
        );
    }
}

#[test]
fn the_last_block_sees_what_all_have_written() {
    for driver in drivers(SimtDevice::turing()) {
        let x = whole_numbers(40 * 256);
        let launch = Launch::new(&driver, "selftest_last_block_f32", 40, 256);
        for _ in 0..3 {
            assert_eq!(
                launch.run::<f32, f32>(&x, 1).expect("a launch"),
                sums(&x, 40 * 256),
                "{driver}"
            );
        }
    }
}

#[test]
fn the_blocks_of_a_cluster_see_each_others_memory() {
    for driver in drivers(SimtDevice::hopper()) {
        for cluster in [1, 2, 4, 8, 16] {
            let x = whole_numbers(32 * 128);
            let launch = Launch::new(&driver, "selftest_cluster_f32", 32, 128).cluster(cluster);
            let of_clusters = sums(&x, 128 * cluster as usize);
            let expected: Vec<f32> = (0..32)
                .map(|block| of_clusters[block / cluster as usize])
                .collect();
            assert_eq!(
                launch.run::<f32, f32>(&x, 32).expect("a launch"),
                expected,
                "{driver} {cluster}"
            );
        }
    }
}

#[test]
fn the_blocks_of_a_cooperative_launch_wait_for_each_other() {
    for driver in drivers(SimtDevice::turing()) {
        let x = whole_numbers(10);
        let launch = Launch::new(&driver, "selftest_grid_f32", 10, 128).cooperative();
        let mut expected = x.clone();
        expected.rotate_left(1);
        for _ in 0..3 {
            assert_eq!(
                launch.run::<f32, f32>(&x, 10).expect("a launch"),
                expected,
                "{driver}"
            );
        }
    }
}

#[test]
fn packets_are_copied() {
    let driver = hopper();
    let x = whole_numbers(4 * 100);
    let launch = Launch::new(&driver, "selftest_packets_f32", 1, 128).packets(100, 0);
    assert_eq!(launch.run::<f32, f32>(&x, 400).expect("a launch"), x);
}

#[test]
fn packets_are_copied_while_others_are_used() {
    let driver = hopper();
    let x = whole_numbers(2 * 4 * 64);
    let launch = Launch::new(&driver, "selftest_copies_f32", 1, 64).shared(2 * 64 * 16);
    assert_eq!(launch.run::<f32, f32>(&x, x.len()).expect("a launch"), x);
}

#[test]
fn shared_memory_begins_as_nan() {
    let driver = hopper();
    let launch = Launch::new(&driver, "selftest_unwritten_f32", 1, 32).shared(128);
    // The block before leaves its values there.
    Launch::new(&driver, "selftest_tree_f32", 1, 32)
        .shared(128)
        .run::<f32, f32>(&whole_numbers(32), 1)
        .expect("a launch");
    let out: Vec<f32> = launch.run(&[0_f32], 64).expect("a launch");
    assert!(out.iter().all(|value| value.is_nan()), "{out:?}");
}

#[test]
fn launches_of_many_threads_do_not_mix() {
    let driver = hopper();
    std::thread::scope(|scope| {
        for shift in 0..4 {
            let driver = &driver;
            scope.spawn(move || {
                let x: Vec<f32> = whole_numbers(20 * 256)
                    .iter()
                    .map(|x| x + shift as f32)
                    .collect();
                for _ in 0..5 {
                    let launch = Launch::new(driver, "selftest_last_block_f32", 20, 256);
                    assert_eq!(
                        launch.run::<f32, f32>(&x, 1).expect("a launch"),
                        sums(&x, 20 * 256)
                    );
                }
            });
        }
    });
}

#[test]
fn the_device_refuses_what_it_cannot_launch() {
    let turing = SimtDriver::new(SimtDevice::turing()).expect("a driver");
    let x = whole_numbers(64);
    let refused = |launch: Launch, needed: &str| {
        let error = launch.refused(&x);
        assert!(error.contains(needed), "{error}");
    };
    let block_sum =
        |blocks, threads| Launch::new(&turing, "selftest_block_sum_f32", blocks, threads);
    refused(
        Launch::new(&turing, "selftest_nothing_f32", 1, 32),
        "no kernel of that name",
    );
    refused(block_sum(0, 32), "1 to 2147483647 blocks, got 0");
    refused(block_sum(1, 544), "1 to 512 threads, got 544");
    refused(
        block_sum(2, 32).cluster(2),
        "clusters of such blocks have at most 1",
    );
    refused(
        block_sum(1, 32).shared(65537),
        "at most 65536 bytes of shared memory, got 65537",
    );
    // 10 multiprocessors, 2 blocks each; fewer where shared memory is short.
    refused(block_sum(21, 32).cooperative(), "room for 20");
    refused(block_sum(11, 32).shared(40000).cooperative(), "room for 10");
    refused(
        Launch::new(&hopper(), "selftest_cluster_f32", 6, 32).cluster(4),
        "divide the grid, got 4 of 6 blocks",
    );
    let all = Grid {
        cooperative: true,
        ..block_sum(20, 32).grid
    };
    assert!(
        Launch {
            grid: all,
            ..block_sum(20, 32)
        }
        .run::<f32, f32>(&whole_numbers(640), 20)
        .is_ok()
    );
}
