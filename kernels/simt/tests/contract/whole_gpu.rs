//! Plans as a whole GPU has them, an H200: clusters of 16 blocks, more blocks at once than other tests have in all, blocks of 512
//! threads that have a multiprocessor alone.

use batchnorm::gpu::plan::{Direction, Explanation, LaunchPlan, PassPlan, Tuning};
use batchnorm::{Element, Shape};
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};
use contract_suite::comparison::check_backward;
use contract_suite::data::ordinary;
use contract_suite::run::How;
use half::f16;

/// A pass there and back as told, of which each is a launch that is as asked for.
fn check<T: Element>(text: &str, shape: Shape, is_as_asked: impl Fn(&LaunchPlan) -> bool) {
    let device = SimtDevice::h200();
    let tuning = Tuning::parse(text).expect("a tuning");
    for direction in [Direction::Forward, Direction::Backward] {
        let why = Explanation::of(&shape, T::DTYPE, direction, &device.attributes, &tuning);
        let PassPlan::Whole(plan) = why.chosen().plan else {
            panic!("{why}");
        };
        assert!(is_as_asked(&plan), "{why}");
    }
    let simt = Simt::on(SimtDriver::new(device).expect("memory")).tuned(tuning);
    check_backward::<T, Simt>(&simt, &ordinary::<T>(shape, 3), How::Fused);
}

#[test]
fn clusters_of_sixteen_blocks() {
    let is_wide = |plan: &LaunchPlan| plan.launch.cluster == 16;
    let text = "strategy=on-chip,cluster=16";
    check::<f32>(text, Shape::channels_first(&[3, 5, 6007]).unwrap(), is_wide);
    check::<f16>(text, Shape::channels_last(&[701, 24]).unwrap(), is_wide);
}

#[test]
fn blocks_that_have_a_multiprocessor_alone() {
    let is_alone = |plan: &LaunchPlan| plan.launch.threads == 512;
    let planes = Shape::channels_first(&[3, 2, 10_007]).unwrap();
    let text = "strategy=on-chip,threads=512,cluster=2";
    check::<f32>(text, planes, is_alone);
    let columns = Shape::channels_last(&[997, 40]).unwrap();
    check::<f16>("strategy=on-chip,threads=512", columns, is_alone);
}

#[test]
fn a_block_for_each_of_132_multiprocessors_at_once() {
    let is_busy = |plan: &LaunchPlan| plan.launch.cooperative && plan.launch.blocks >= 132;
    let shape = Shape::channels_last(&[850, 1030]).unwrap();
    check::<f16>("strategy=persistent,columns=32", shape, is_busy);
}
