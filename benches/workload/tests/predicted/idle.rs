//! No plan for a row of the table leaves a multiprocessor without a block, where x has more than 2 MB.

use batchnorm::DType;
use batchnorm::gpu::Attributes;
use batchnorm::gpu::plan::{Direction, Explanation, Tuning};
use workload::table;

#[test]
fn every_multiprocessor_has_work() {
    let mut large = 0;
    for shape in table::shapes(&[32, 128, 256]) {
        for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
            for direction in [Direction::Forward, Direction::Backward] {
                for device in [Attributes::H200, Attributes::H100, Attributes::A100] {
                    let tuning = Tuning::default();
                    let why = Explanation::of(&shape, dtype, direction, &device, &tuning);
                    if why.descriptor.bytes() <= 2 << 20 {
                        continue;
                    }
                    large += 1;
                    for plan in why.chosen().plan.launches() {
                        let blocks = plan.launch.blocks;
                        assert!(blocks >= device.multiprocessors, "{shape}: {why}");
                    }
                }
            }
        }
    }
    assert!(large > 1000, "{large}");
}
