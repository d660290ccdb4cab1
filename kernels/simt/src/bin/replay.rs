//! The example `replay` with one more device: `cargo run --release -p batchnorm-simt -- IN OUT --device simt`.

use std::process::ExitCode;

use batchnorm_simt::{Simt, SimtDevice, SimtDriver};

fn main() -> ExitCode {
    replay_cases::run_program(|| SimtDriver::new(SimtDevice::hopper()).map(Simt::on))
}
