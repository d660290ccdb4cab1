//! The contract suite on the GPU's kernels, run by the processor as two devices and told each strategy.

mod in_stream;
mod pipelined;
mod reach;
mod room;
mod tunings;
mod twins;
mod whole_gpu;

use batchnorm::gpu::plan::Tuning;
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};

fn run_as(device: SimtDevice) -> Simt {
    Simt::on(SimtDriver::new(device).expect("memory"))
}

/// Makes a test of each check, on each device.
macro_rules! on_every_device {
    ($($module:ident::$check:ident),* $(,)?) => {
        mod simt_hopper {
            $(#[test] fn $check() {
                contract_suite::$module::$check(&super::run_as(super::SimtDevice::hopper()));
            })*
        }
        mod simt_tiny {
            $(#[test] fn $check() {
                contract_suite::$module::$check(&super::run_as(super::SimtDevice::tiny()));
            })*
        }
    };
}

contract_suite::for_each_check!(on_every_device);

/// Makes a test of each check, with the plan told the strategy.
macro_rules! by_every_strategy {
    ($($module:ident::$check:ident),* $(,)?) => {
        mod simt_strategies {
            use super::{SimtDevice, Tuning, run_as};
            $(#[test] fn $check() {
                for strategy in [
                    "split", "on-chip,cluster=4", "ticketed,group=2", "pipelined,group=2", "persistent",
                ] {
                    let tuning = Tuning::parse(&format!("strategy={strategy}"));
                    let tuning = tuning.expect("settings of the plan");
                    contract_suite::$module::$check(&run_as(SimtDevice::hopper()).tuned(tuning));
                }
            })*
        }
    };
}

by_every_strategy!(
    forward::forward_of_large_arrays_matches_the_textbook,
    backward::backward_training_matches_the_textbook_in_f32,
    backward::backward_training_of_some_shapes_matches_the_textbook_in_bf16,
    precision::infinity_stays_in_its_channel,
    precision::values_near_the_largest,
    determinism::runs_change_no_bit,
    forward::running_statistics_follow_at_once,
);
