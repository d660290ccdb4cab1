//! What must hold for every plan there is, whatever a person who tunes says.

use crate::element::DType;
use crate::gpu::attributes::Attributes;
use crate::gpu::plan::candidates::query::PlanQuery;
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::gpu::plan::launch_plan::{Direction, PassPlan};
use crate::gpu::plan::occupancy::THREADS;
use crate::gpu::plan::split::{Step, step};
use crate::gpu::plan::tests::cases::{
    DTYPES, LAYOUTS, SHAPES, SIXTEEN, SMALL_GPCS, WITHOUT_COOPERATION, tunings,
};
use crate::gpu::plan::tests::launch_checks::{check, check_occupancy};
use crate::gpu::plan::tests::{HOPPER, TURING, descriptor};
use crate::gpu::plan::tuning::Tuning;
use crate::shape::Layout;

/// How many of the plans that could be chosen for a pass are of one launch; all were checked.
fn check_all(
    descriptor: &TensorDescriptor,
    dtype: DType,
    device: &Attributes,
    tunings: &[Tuning],
) -> usize {
    let mut whole_passes = 0;
    for direction in [Direction::Forward, Direction::Backward] {
        for tuning in tunings {
            let query = PlanQuery {
                direction,
                descriptor,
                dtype,
                device,
                tuning,
            };
            for candidate in query.candidates() {
                match candidate {
                    PassPlan::Whole(plan) => {
                        check(&plan, descriptor, device);
                        if tuning.threads.is_none() {
                            check_occupancy(&plan, descriptor, device);
                        }
                        whole_passes += 1;
                    }
                    PassPlan::Steps { reduce, write } => {
                        check(&reduce, descriptor, device);
                        check(&write, descriptor, device);
                    }
                }
            }
        }
    }
    whole_passes
}

#[test]
fn every_plan_covers_the_array_and_fits_the_device() {
    for dims in SHAPES {
        for (layout, dtype) in LAYOUTS.iter().flat_map(|&l| DTYPES.map(|d| (l, d))) {
            for device in [&HOPPER, &SIXTEEN, &TURING, &WITHOUT_COOPERATION] {
                let descriptor = descriptor(dims, layout, dtype);
                for step_of in [
                    Step::Statistics,
                    Step::Normalize,
                    Step::BackwardReduce,
                    Step::BackwardInput,
                ] {
                    check(&step(step_of, &descriptor, dtype), &descriptor, device);
                }
            }
        }
    }
}

#[test]
fn no_tuning_leaves_the_array_or_the_device() {
    let tunings = tunings();
    let mut whole_passes = 0;
    for dims in SHAPES {
        for (layout, dtype) in LAYOUTS.iter().flat_map(|&l| DTYPES.map(|d| (l, d))) {
            for device in [
                &HOPPER,
                &SIXTEEN,
                &SMALL_GPCS,
                &TURING,
                &WITHOUT_COOPERATION,
            ] {
                whole_passes +=
                    check_all(&descriptor(dims, layout, dtype), dtype, device, &tunings);
            }
        }
    }
    assert!(whole_passes > 100_000, "{whole_passes}");
}

#[test]
fn what_copies_while_it_works_is_for_devices_that_can() {
    let tuning = Tuning::parse("strategy=pipelined").unwrap();
    let large = descriptor(&[256, 64, 112, 112], Layout::ChannelsFirst, DType::F32);
    let whole_passes =
        |device| check_all(&large, DType::F32, device, std::slice::from_ref(&tuning));
    assert!(whole_passes(&Attributes::A100) > 0);
    assert_eq!(whole_passes(&TURING), 0);
}

/// Every width that a group of columns can be told, of channels that end in a packet and of such that do not.
#[test]
fn every_width_of_columns_has_a_thread_for_each_packet() {
    let widths: Vec<Tuning> = (1..=THREADS)
        .flat_map(|packets| {
            ["strategy=on-chip", "strategy=persistent"]
                .map(|text| Tuning::parse(text).unwrap().columns(packets).unwrap())
        })
        .collect();
    let mut whole_passes = 0;
    for spatial in [1, 2, 3, 4, 7, 8, 12, 49, 63, 64, 100, 127, 254, 255] {
        for (batch, channels) in [(2, 1), (5, 7), (33, 300), (700, 5000)] {
            for (layout, dtype) in LAYOUTS.iter().flat_map(|&l| DTYPES.map(|d| (l, d))) {
                let descriptor = descriptor(&[batch, channels, spatial], layout, dtype);
                whole_passes += check_all(&descriptor, dtype, &SIXTEEN, &widths);
            }
        }
    }
    assert!(whole_passes > 100_000, "{whole_passes}");
}
