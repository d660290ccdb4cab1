//! The GPU's kernels, run by the processor: in each way that a pass can be planned, in two random orders of threads and
//! blocks, against one table.

use std::path::Path;

use batchnorm::Shape;
use batchnorm::gpu::plan::Tuning;
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};
use bits_suite::cases::{self, Scope};
use bits_suite::table::{self, Run};

/// Sums are partitioned as the work is planned, so that each way has bits of its own: the column, the device that is
/// played, and what the plan is told.
const WAYS: [(&str, SimtDevice, &str); 6] = [
    ("planned", SimtDevice::hopper(), ""),
    ("planned_for_tiny", SimtDevice::tiny(), ""),
    ("split", SimtDevice::hopper(), "way=split"),
    ("on_chip", SimtDevice::hopper(), "way=on-chip,cluster=4"),
    ("ticketed", SimtDevice::hopper(), "way=ticketed,group=2"),
    ("persistent", SimtDevice::hopper(), "way=persistent"),
];

#[test]
fn no_bit_has_changed() {
    let mut runs = vec![];
    for (column, device, told) in WAYS {
        for seed in [1, 2] {
            let driver = SimtDriver::new(device).unwrap().with_seed(seed);
            let simt = Simt::on(driver).tuned(Tuning::parse(told).unwrap());
            runs.push(Run {
                by: format!("{simt}, {column}"),
                column,
                checksums: cases::checksums(&simt, &SCOPE),
            });
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bits/simt.txt");
    table::hold(&path, &WAYS.map(|(column, ..)| column), &runs);
}

/// Shapes by how the plan cuts them: see `src/gpu/plan/`.
const SCOPE: Scope = Scope {
    in_every_pass: small,
    in_some_passes: large,
    with_unusual_data: odd,
    in_separate_steps: odd,
};

/// A block or less each: small planes, which are taken as columns, and columns.
fn small() -> Vec<Shape> {
    vec![
        Shape::channels_first(&[5, 6, 5, 3]).unwrap(),
        Shape::channels_last(&[7, 4, 9]).unwrap(),
    ]
}

/// Planes and columns, odd in every dimension.
fn odd() -> Vec<Shape> {
    vec![
        Shape::channels_first(&[3, 3, 17, 17]).unwrap(),
        Shape::channels_last(&[3, 27, 19]).unwrap(),
    ]
}

/// Several blocks to a channel.
fn large(_: usize) -> Vec<Shape> {
    vec![
        Shape::channels_first(&[4, 3, 1501]).unwrap(),
        Shape::channels_first(&[35, 12, 7, 7]).unwrap(),
        Shape::channels_last(&[3, 211, 18]).unwrap(),
        Shape::channels_last(&[801, 5]).unwrap(),
    ]
}
