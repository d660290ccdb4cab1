//! The suite's shapes and all strategies reach every kernel there is: none is right for want of having been run.

use std::collections::BTreeSet;

use batchnorm::gpu::Kernel;
use batchnorm::gpu::internal::all_kernels;
use batchnorm::gpu::plan::Tuning;
use batchnorm::{Element, Shape};
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};
use contract_suite::comparison::check_backward;
use contract_suite::data::{add_running, ordinary};
use contract_suite::forward::running_statistics_follow_at_once;
use contract_suite::run::How;
use half::{bf16, f16};

use crate::in_stream;

fn check<T: Element>(simt: &Simt) {
    for shape in [
        Shape::channels_first(&[4, 3, 1501]).unwrap(),
        Shape::channels_last(&[3, 211, 18]).unwrap(),
    ] {
        let mut problem = ordinary::<T>(shape, 1);
        check_backward::<T, Simt>(simt, &problem, How::Composed);
        check_backward::<T, Simt>(simt, &problem, How::Fused);
        add_running::<T>(&mut problem, 2);
        check_backward::<T, Simt>(simt, &problem, How::Fused);
    }
}

#[test]
fn every_kernel_is_reached() {
    let mut reached = BTreeSet::new();
    for strategy in ["split", "on-chip", "ticketed", "pipelined", "persistent"] {
        let driver = SimtDriver::new(SimtDevice::hopper()).expect("memory");
        let tuning = Tuning::parse(&format!("strategy={strategy}")).expect("a strategy");
        let simt = Simt::on(driver.clone()).tuned(tuning);
        check::<f32>(&simt);
        check::<f16>(&simt);
        check::<bf16>(&simt);
        check::<f64>(&simt);
        running_statistics_follow_at_once(&simt);
        in_stream::check_shared::<f32>(&simt);
        in_stream::check_shared::<f64>(&simt);
        reached.extend(driver.launches().into_keys());
    }
    let missed: Vec<_> = all_kernels()
        .map(Kernel::name)
        .filter(|name| !reached.contains(name.as_str()))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}
