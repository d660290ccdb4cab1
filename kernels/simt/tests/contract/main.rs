//! The contract suite on the GPU's kernels, run by the processor as two devices and told each way.

mod reach;
mod room;
mod tunings;

use batchnorm::gpu::plan::Tuning;
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};

fn played(device: SimtDevice) -> Simt {
    Simt::on(SimtDriver::new(device).expect("memory"))
}

/// Makes a test of each check, on each device.
macro_rules! on_every_device {
    ($($module:ident::$check:ident),* $(,)?) => {
        mod simt_hopper {
            $(#[test] fn $check() {
                contract_suite::$module::$check(&super::played(super::SimtDevice::hopper()));
            })*
        }
        mod simt_tiny {
            $(#[test] fn $check() {
                contract_suite::$module::$check(&super::played(super::SimtDevice::tiny()));
            })*
        }
    };
}

contract_suite::for_each_check!(on_every_device);

/// Makes a test of each check, with the plan told the way.
macro_rules! on_every_way {
    ($($module:ident::$check:ident),* $(,)?) => {
        mod simt_ways {
            use super::{SimtDevice, Tuning, played};
            $(#[test] fn $check() {
                for way in ["split", "on-chip,cluster=4", "ticketed,group=2", "persistent"] {
                    let tuning = Tuning::parse(&format!("way={way}")).expect("a way");
                    contract_suite::$module::$check(&played(SimtDevice::hopper()).tuned(tuning));
                }
            })*
        }
    };
}

on_every_way!(
    forward::forward_of_large_arrays_matches_the_textbook,
    backward::backward_training_matches_the_textbook_in_f32,
    backward::backward_training_matches_the_textbook_in_bf16,
    precision::infinity_stays_in_its_channel,
    precision::values_near_the_largest,
    determinism::runs_change_no_bit,
    forward::running_statistics_follow_at_once,
);
