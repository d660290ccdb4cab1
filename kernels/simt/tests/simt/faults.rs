//! Mistakes put into right kernels are found by looking at their results, in a few random orders.

use batchnorm::backend::Backend;
use batchnorm::gpu::plan::Tuning;
use batchnorm::{BatchNorm, BatchNormConfig, ChannelArray, Cpu, Shape, Tensor};
use batchnorm_simt::{Simt, SimtDevice, SimtDriver, faults};

use crate::launch::{Launch, whole_numbers};
use crate::process::{failure, number};

const FAULT: &str = "BATCHNORM_TEST_FAULT";

#[test]
fn each_changes_a_result() {
    assert_eq!(
        failure("faults::with_a_fault", FAULT, "0"),
        None,
        "without any"
    );
    let injected: Vec<_> = faults()
        .into_iter()
        .filter(|fault| fault.file.ends_with("selftest.cu"))
        .collect();
    assert!(injected.len() >= 6, "{injected:?}");
    for fault in injected {
        let found = failure("faults::with_a_fault", FAULT, &fault.number.to_string());
        let found = found.unwrap_or_else(|| panic!("not found: {fault:?}"));
        assert!(
            found.contains("panicked") || found.contains("Sanitizer"),
            "{fault:?}: {found}"
        );
    }
}

#[test]
fn each_in_the_crate_s_own_kernels_is_found() {
    assert_eq!(
        failure("faults::passes_with_a_fault", FAULT, "0"),
        None,
        "without any"
    );
    let injected: Vec<_> = faults()
        .into_iter()
        .filter(|fault| !fault.file.ends_with("selftest.cu"))
        .collect();
    assert!(injected.len() >= 11, "{injected:?}");
    for fault in injected {
        let found = failure(
            "faults::passes_with_a_fault",
            FAULT,
            &fault.number.to_string(),
        );
        assert!(found.is_some(), "not found: {fault:?}");
    }
}

/// Arrays that every kernel cuts into several tiles, with edges within packets.
fn shapes() -> [Shape; 4] {
    [
        Shape::channels_first(&[4, 3, 1501]).unwrap(),
        Shape::channels_first(&[9, 20, 21]).unwrap(),
        Shape::channels_last(&[3, 211, 18]).unwrap(),
        Shape::channels_last(&[700, 70]).unwrap(),
    ]
}

#[test]
#[ignore = "each_in_the_crate_s_own_kernels_is_found runs it"]
fn passes_with_a_fault() {
    for seed in 0..4 {
        for strategy in [
            "split",
            "on-chip,cluster=2",
            "ticketed,group=1",
            "pipelined,group=1",
            "persistent",
        ] {
            let driver = SimtDriver::new(SimtDevice::hopper()).expect("a driver");
            let driver = driver.with_seed(seed).with_fault(number(FAULT));
            let tuning = Tuning::parse(&format!("strategy={strategy}")).expect("a strategy");
            let gpu = Simt::on(driver).tuned(tuning);
            for shape in shapes() {
                // Twice: the first must leave the workspace as it was.
                for _ in 0..2 {
                    let (found, expected) = (pass(&gpu, shape), pass(&Cpu::new(), shape));
                    for (array, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        assert_close(array, found, expected);
                    }
                }
            }
        }
    }
}

/// y, dx, dγ, dβ of a training pass.
fn pass<B: Backend>(backend: &B, shape: Shape) -> [Vec<f32>; 4] {
    let values = |step: usize| -> Vec<f32> {
        (0u16..7919)
            .cycle()
            .step_by(step)
            .take(shape.len())
            .map(|i| f32::from(i) / 2500.0 + 3.0)
            .collect()
    };
    let tensor = |step| Tensor::new(backend, shape, &values(step)).unwrap();
    let mut layer = BatchNorm::new(backend, BatchNormConfig::new(shape.channels())).unwrap();
    let (y, pass) = layer.forward_training(tensor(31)).unwrap();
    let gradients = pass.backward(&tensor(17)).unwrap();
    let of_channels = |array: Option<ChannelArray<f32, B>>| array.unwrap().to_vec().unwrap();
    [
        y.to_vec().unwrap(),
        gradients.input.to_vec().unwrap(),
        of_channels(gradients.gamma),
        of_channels(gradients.beta),
    ]
}

fn assert_close(array: usize, found: &[f32], expected: &[f32]) {
    let largest = expected
        .iter()
        .fold(1.0, |largest: f32, value| largest.max(value.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let distance = (found - expected).abs() / largest;
        assert!(
            distance <= 1e-5,
            "value {i} of array {array}: {found}, not {expected}"
        );
    }
}

#[test]
fn each_number_is_one_place() {
    for pair in faults().windows(2) {
        assert_ne!(pair[0].number, pair[1].number, "{pair:?}");
    }
}

#[test]
#[ignore = "each_changes_a_result runs it"]
fn with_a_fault() {
    for seed in 0..20 {
        let driver = SimtDriver::new(SimtDevice::hopper()).expect("a driver");
        let driver = driver.with_seed(seed).with_fault(number(FAULT));
        let x = whole_numbers(8 * 256);
        let sums: Vec<f32> = x.chunks(256).map(|block| block.iter().sum()).collect();
        let run = |launch: Launch| launch.run::<f32, f32>(&x, 8).expect("a launch");
        assert_eq!(
            run(Launch::new(&driver, "selftest_block_sum_f32", 8, 256)),
            sums
        );
        assert_eq!(
            run(Launch::new(&driver, "selftest_tree_f32", 8, 256).shared(1024)),
            sums
        );
        let of_cluster = run(Launch::new(&driver, "selftest_cluster_f32", 8, 256).cluster(8));
        assert_eq!(of_cluster, [sums.iter().sum::<f32>(); 8]);
        let neighbours = run(Launch::new(&driver, "selftest_grid_f32", 8, 128).cooperative());
        assert_eq!(neighbours, [x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[0]]);
        let copied = Launch::new(&driver, "selftest_copies_f32", 1, 64).shared(2 * 64 * 16);
        assert_eq!(copied.run::<f32, f32>(&x, 512).expect("a launch"), x[..512]);
    }
}
