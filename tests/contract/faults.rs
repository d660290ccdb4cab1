//! What the suite is worth: each mistake that can be planted in a kernel (`PLANT` in `kernels/device.cuh`) is found.

#[path = "../simt/process.rs"]
mod process;

use std::collections::BTreeSet;

use batchnorm::gpu::kernel;
use batchnorm::simt::{Fault, Simt, SimtDevice, SimtDriver, faults};
use batchnorm::{Element, Shape};
use half::f16;

use self::process::{failure, number};
use crate::data::{add_residual, add_running, ordinary};
use crate::run::{How, check_backward, check_forward};

const FAULT: &str = "BATCHNORM_TEST_FAULT";

/// Arrays that are small, large, and too large for a device's shared memory and cache, in both layouts.
fn shapes() -> Vec<Shape> {
    vec![
        Shape::channels_first(&[3, 5, 7, 9]).unwrap(),
        Shape::channels_first(&[9, 40, 33, 35]).unwrap(),
        Shape::channels_last(&[5, 7, 9, 3]).unwrap(),
        Shape::channels_last(&[4, 33, 35, 40]).unwrap(),
        Shape::channels_last(&[40_003, 3]).unwrap(),
    ]
}

fn check<T: Element>(simt: &Simt) {
    for (seed, shape) in shapes().into_iter().enumerate() {
        let mut problem = ordinary::<T>(shape, seed as u64);
        check_backward::<T, Simt>(simt, &problem, How::Composed);
        problem.relu = true;
        check_backward::<T, Simt>(simt, &problem, How::Fused);
        add_residual::<T>(&mut problem, 3);
        check_backward::<T, Simt>(simt, &problem, How::Fused);
        add_running::<T>(&mut problem, 4);
        check_forward::<T, Simt>(simt, &problem, How::Fused);
    }
}

/// Runs the checks, and returns the kernels that they reached.
fn check_with(fault: u32) -> BTreeSet<&'static str> {
    let mut reached = BTreeSet::new();
    for device in [
        SimtDevice::turing(),
        SimtDevice::hopper(),
        SimtDevice::tiny(),
    ] {
        let driver = SimtDriver::new(device).expect("memory").with_fault(fault);
        let simt = Simt::on(driver.clone());
        check::<f32>(&simt);
        check::<f16>(&simt);
        check::<f64>(&simt);
        reached.extend(driver.launches().into_keys());
    }
    reached
}

#[test]
fn the_checks_reach_every_operation() {
    let reached = check_with(0);
    for (operation, name) in kernel::Operation::ALL {
        let found = reached.iter().any(|kernel| {
            kernel
                .rsplit_once('_')
                .is_some_and(|(begin, _)| begin == name)
        });
        // Whoever follows the batches calls it, and no check here does.
        assert!(
            found || operation == kernel::Operation::UpdateRunning,
            "{name} is not in {reached:?}"
        );
    }
}

#[test]
fn each_is_found() {
    let in_kernels = |fault: &Fault| !fault.file.ends_with("selftest.cu");
    let lost: Vec<_> = faults()
        .into_iter()
        .filter(in_kernels)
        .filter(|fault| failure("faults::with_a_fault", FAULT, &fault.number.to_string()).is_none())
        .collect();
    assert!(lost.is_empty(), "no check finds {lost:#?}");
}

#[test]
#[ignore = "each_is_found runs it"]
fn with_a_fault() {
    check_with(number(FAULT));
}
