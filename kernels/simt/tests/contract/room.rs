//! A device that has less room than it says: a pass that finds none is planned anew, gives what it should, and is planned
//! so from then on.

use batchnorm::gpu::Attributes;
use batchnorm::gpu::plan::Tuning;
use batchnorm::{Element, Shape};
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};
use contract_suite::comparison::check_backward;
use contract_suite::data::ordinary;
use contract_suite::run::How;
use half::f16;

/// The kernels that passes there and back were done by, as told, with so much room.
fn launched<T: Element>(told: &str, shape: Shape, room: Attributes) -> Vec<&'static str> {
    let driver = SimtDriver::new(SimtDevice::hopper())
        .expect("memory")
        .with_room(room);
    let simt = Simt::on(driver.clone()).tuned(Tuning::parse(told).expect("a tuning"));
    for seed in [7, 8] {
        check_backward::<T, Simt>(&simt, &ordinary::<T>(shape, seed), How::Fused);
    }
    driver.launches().into_keys().collect()
}

#[test]
fn refused_cooperative_launches_are_made_in_steps() {
    let shape = Shape::channels_last(&[70, 2101]).unwrap();
    let hopper = SimtDevice::hopper().attributes;
    let all = launched::<f16>("strategy=persistent", shape, hopper);
    assert_eq!(
        all,
        [
            "columns_persistent_backward_f16",
            "columns_persistent_forward_f16"
        ]
    );
    let none = Attributes {
        cooperative: false,
        ..hopper
    };
    let steps = [
        "columns_backward_input_f16",
        "columns_backward_reduce_f16",
        "columns_normalize_f16",
        "columns_statistics_f16",
    ];
    assert_eq!(launched::<f16>("strategy=persistent", shape, none), steps);
}

#[test]
fn refused_clusters_are_made_smaller() {
    let shape = Shape::channels_first(&[4, 5, 1501]).unwrap();
    let four = Attributes {
        cluster_blocks: 4,
        cluster_blocks_alone: 4,
        ..SimtDevice::hopper().attributes
    };
    let on_chip = ["planes_on_chip_backward_f32", "planes_on_chip_forward_f32"];
    assert_eq!(launched::<f32>("strategy=on-chip", shape, four), on_chip);
    // One that was told has no other size.
    let steps = launched::<f32>("strategy=on-chip,cluster=8", shape, four);
    assert!(
        steps.iter().all(|name| !name.contains("on_chip")),
        "{steps:?}"
    );
}
