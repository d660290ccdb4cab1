//! What must hold for every plan there is.

use crate::element::DType;
use crate::gpu::driver::{Attributes, COUNTER_BYTES, PARTIAL_BYTES};
use crate::gpu::kernel::Strategy;
use crate::gpu::plan::split::{BLOCKS_PER_MULTIPROCESSOR, Step, step};
use crate::gpu::plan::tests::{HOPPER, TURING, view};
use crate::gpu::plan::tuning::Tuning;
use crate::gpu::plan::view::{Arrangement, View};
use crate::gpu::plan::{LaunchPlan, Pass, fused};
use crate::shape::Layout;

/// Everything a launch must be for the kernels to be right and the device to take it.
fn check(plan: &LaunchPlan, view: &View, device: &Attributes, waits: bool) {
    let (launch, blocks) = (&plan.launch, plan.launch.blocks as usize);
    let about = format!("{view:?} {plan:?}");
    assert!(
        launch.threads.is_multiple_of(32) && launch.threads <= 256 && blocks > 0,
        "{about}"
    );
    assert!(
        launch.shared_bytes <= device.shared_per_block - 1024,
        "{about}"
    );
    assert!(
        launch.cluster <= device.cluster_blocks && launch.blocks.is_multiple_of(launch.cluster),
        "{about}"
    );
    if launch.cooperative {
        assert!(
            blocks <= BLOCKS_PER_MULTIPROCESSOR * device.multiprocessors as usize,
            "{about}"
        );
        assert!(
            2 * (launch.shared_bytes + 1024) <= device.shared_per_multiprocessor,
            "{about}"
        );
    }
    let (len, units, group) = match view.arrangement {
        Arrangement::Planes => (view.channel_packets(), view.channels, 1),
        Arrangement::Columns => (
            view.batch,
            view.channels.div_ceil(plan.group_channels),
            plan.group_channels,
        ),
    };
    assert!(plan.tile * plan.tiles >= len, "all of it: {about}");
    assert!(
        plan.tile * (plan.tiles - 1) < len || plan.launch.cluster > 1,
        "no tile without work: {about}"
    );
    if view.arrangement == Arrangement::Columns {
        assert!(
            (group * view.spatial).is_multiple_of(view.lanes()),
            "groups begin at packets: {about}"
        );
        assert!(
            group * view.spatial / view.lanes() <= 256,
            "a thread for each packet: {about}"
        );
    }
    let ticketed = launch.kernel.strategy == Strategy::Ticketed;
    assert!(launch.kernel.exists(), "{about}");
    if !ticketed {
        assert_eq!(blocks, units * plan.tiles, "{about}");
    }
    if waits {
        assert!(
            view.channels * plan.tiles * 16 <= PARTIAL_BYTES || plan.tiles == 1,
            "{about}"
        );
        let counters = if ticketed { 2 + 2 * units } else { 3 * units };
        assert!(counters * 4 <= COUNTER_BYTES || plan.tiles == 1, "{about}");
    }
}

#[test]
fn every_plan_covers_the_array_and_fits_the_device() {
    let dims: &[&[usize]] = &[
        &[2, 1],
        &[2, 3],
        &[1, 3, 2],
        &[2, 8, 4, 4],
        &[4096, 1024],
        &[65536, 64],
        &[3, 100_003],
        &[1 << 20, 1],
        &[7, 5, 255],
        &[7, 5, 127],
        &[7, 5, 63],
        &[9, 600, 31],
        &[32, 64, 112, 112],
        &[32, 2048, 7, 7],
        &[256, 64, 112, 112],
        &[4, 32, 64, 64, 64],
        &[1, 1, 399, 401],
        &[3, 2, 211, 307],
        &[1, 2, 1 << 30],
        &[1 << 21, 2048],
        &[2, 500_000, 3],
        &[2, 300_000, 200],
        &[1000, 3, 1000],
    ];
    let without_cooperation = Attributes {
        cooperative: false,
        ..TURING
    };
    for dims in dims {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            for dtype in [DType::F16, DType::F32, DType::F64] {
                for device in [&HOPPER, &TURING, &without_cooperation] {
                    let view = view(dims, layout, dtype);
                    for step_of in [
                        Step::Statistics,
                        Step::Normalize,
                        Step::BackwardReduce,
                        Step::BackwardInput,
                    ] {
                        let reduces = matches!(step_of, Step::Statistics | Step::BackwardReduce);
                        check(&step(step_of, &view, dtype, device), &view, device, reduces);
                    }
                    for pass in [Pass::Forward, Pass::Backward] {
                        for text in [
                            "",
                            "strategy=on-chip",
                            "strategy=ticketed",
                            "strategy=persistent",
                        ] {
                            let tuning = Tuning::parse(text).unwrap();
                            if let Some(plan) = fused(pass, &view, dtype, device, &tuning) {
                                check(&plan, &view, device, plan.launch.cluster == 1);
                            }
                        }
                    }
                }
            }
        }
    }
}
