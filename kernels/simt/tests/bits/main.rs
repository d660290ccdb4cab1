//! The GPU's kernels, run by the processor: by each strategy that a pass can be planned by, in two random orders of threads and
//! blocks, against one table.

use std::path::Path;

use batchnorm::gpu::plan::Tuning;
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};
use bits_suite::cases;
use bits_suite::gpu::{COLUMNS, SCOPE, names};
use bits_suite::table::{self, Run};

#[test]
fn no_bit_has_changed() {
    let mut runs = vec![];
    for column in COLUMNS {
        let device = SimtDevice {
            name: column.name,
            attributes: column.device,
        };
        for seed in [1, 2] {
            let driver = SimtDriver::new(device).unwrap().with_seed(seed);
            let simt = Simt::on(driver).tuned(Tuning::parse(column.tuning).unwrap());
            runs.push(Run {
                by: simt.to_string(),
                column: column.name,
                checksums: cases::checksums(&simt, &SCOPE),
            });
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bits/simt.txt");
    table::hold(&path, &names(), &runs);
}
