//! The contract suite: one set of checks, run on every backend and at every SIMD level, against the textbook in f64.
//!
//! A level or a GPU that this machine lacks is skipped, and says so.

#[path = "../reference/mod.rs"]
mod reference;

mod backward;
mod data;
mod determinism;
mod errors;
mod forward;
mod memory;
mod precision;
#[cfg(feature = "simt")]
mod reach;
mod run;
mod shapes;
mod tolerance;

use std::io::Write;
#[cfg(feature = "cuda")]
use std::sync::OnceLock;

#[cfg(feature = "cuda")]
use batchnorm::Cuda;
use batchnorm::{Cpu, Device, Error, Level};

/// A CPU at a level, or the word that this machine has none: written past the test harness, which keeps what a passing
/// test prints to itself.
fn at_level(level: Level, check: &str) -> Option<Cpu> {
    let cpu = Cpu::with_threads(2).expect("two threads").at_level(level);
    cpu.map_err(|error| skipped(check, &error)).ok()
}

/// GPU 0, which all checks share, or the word that it cannot be used.
#[cfg(feature = "cuda")]
fn on_gpu(check: &str) -> Option<Cuda> {
    static GPU: OnceLock<Result<Cuda, Error>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| Cuda::new(0)).as_ref();
    gpu.map_err(|error| skipped(check, error)).ok().cloned()
}

fn skipped(check: &str, why: &Error) {
    writeln!(std::io::stderr(), "skipped {check}: {why}").expect("standard error");
}

/// Makes a test of each check, at one SIMD level.
macro_rules! on_level {
    ($name:ident $level:ident $($module:ident::$check:ident),*) => {
        mod $name {
            $(#[test] fn $check() {
                if let Some(cpu) = super::at_level(super::Level::$level, stringify!($check)) {
                    crate::$module::$check(&cpu);
                }
            })*
        }
    };
}

/// Makes a test of each check, on each backend.
macro_rules! on_every_backend {
    ($($module:ident::$check:ident),* $(,)?) => {
        on_level!(portable Portable $($module::$check),*);
        on_level!(neon Neon $($module::$check),*);
        on_level!(avx2 Avx2 $($module::$check),*);
        on_level!(avx512 Avx512 $($module::$check),*);
        #[cfg(feature = "cuda")]
        mod cuda {
            $(#[test] fn $check() {
                if let Some(gpu) = super::on_gpu(stringify!($check)) {
                    crate::$module::$check(&gpu);
                }
            })*
        }
        mod device {
            $(#[test] fn $check() { crate::$module::$check(&super::Device::best_available()); })*
        }
        on_simt!(simt_hopper hopper $($module::$check),*);
        on_simt!(simt_tiny tiny $($module::$check),*);
    };
}

/// Makes a test of each check, on the GPU's kernels run by the processor as one device.
macro_rules! on_simt {
    ($name:ident $device:ident $($module:ident::$check:ident),*) => {
        #[cfg(feature = "simt")]
        mod $name {
            use batchnorm::simt::{Simt, SimtDevice, SimtDriver};
            $(#[test] fn $check() {
                let driver = SimtDriver::new(SimtDevice::$device()).expect("memory");
                crate::$module::$check(&Simt::on(driver));
            })*
        }
    };
}

/// What only the processor's own operands (slices) can show.
macro_rules! on_every_level {
    ($($module:ident::$check:ident),* $(,)?) => {
        on_level!(slices_portable Portable $($module::$check),*);
        on_level!(slices_neon Neon $($module::$check),*);
        on_level!(slices_avx2 Avx2 $($module::$check),*);
        on_level!(slices_avx512 Avx512 $($module::$check),*);
    };
}

on_every_backend!(
    forward::forward_with_running_statistics_matches_the_textbook,
    forward::forward_of_large_arrays_matches_the_textbook,
    forward::forward_of_streamed_arrays_matches_the_textbook,
    forward::forward_composed_of_steps_matches_the_textbook,
    forward::running_statistics_follow_at_once,
    backward::backward_training_matches_the_textbook_in_f32,
    backward::backward_training_matches_the_textbook_in_f16,
    backward::backward_training_matches_the_textbook_in_bf16,
    backward::backward_training_matches_the_textbook_in_f64,
    backward::backward_frozen_matches_the_textbook,
    backward::backward_of_large_arrays_matches_the_textbook,
    backward::backward_of_streamed_arrays_matches_the_textbook,
    backward::backward_composed_of_steps_matches_the_textbook,
    precision::a_large_mean_costs_no_digits,
    precision::halves_are_rounded_to_the_nearest,
    precision::a_constant_gives_exactly_beta,
    precision::an_outlier_first_costs_no_digits,
    precision::drifting_images_cost_no_digits,
    precision::values_near_the_largest,
    precision::values_near_the_smallest,
    precision::epsilon_tiny_and_large,
    precision::gamma_zero_and_negative,
    precision::nan_stays_in_its_channel,
    precision::infinity_stays_in_its_channel,
    precision::relu_passes_nan_on,
    precision::relu_agrees_with_what_was_stored,
    memory::in_place_gives_the_same_bits,
    determinism::runs_change_no_bit,
    errors::wrong_lengths_are_refused_and_nothing_is_written,
    errors::bad_epsilon_is_refused,
    errors::what_no_activation_saves_is_refused,
    errors::too_few_values_are_refused,
);

/// Makes a test of each check, on the GPU's kernels with the plan told the way.
#[cfg(feature = "simt")]
macro_rules! on_every_way {
    ($($module:ident::$check:ident),* $(,)?) => {
        mod simt_ways {
            use batchnorm::gpu::plan::Tuning;
            use batchnorm::simt::{Simt, SimtDevice, SimtDriver};
            $(#[test] fn $check() {
                for way in ["split", "on-chip,cluster=4", "ticketed,group=2", "persistent"] {
                    let tuning = Tuning::parse(&format!("way={way}")).expect("a way");
                    let driver = SimtDriver::new(SimtDevice::hopper()).expect("memory");
                    crate::$module::$check(&Simt::on(driver).tuned(tuning));
                }
            })*
        }
    };
}

#[cfg(feature = "simt")]
on_every_way!(
    forward::forward_of_large_arrays_matches_the_textbook,
    backward::backward_training_matches_the_textbook_in_f32,
    backward::backward_training_matches_the_textbook_in_bf16,
    precision::infinity_stays_in_its_channel,
    precision::values_near_the_largest,
    determinism::runs_change_no_bit,
    forward::running_statistics_follow_at_once,
);

on_every_level!(
    memory::any_alignment_gives_the_same_bits,
    memory::nothing_outside_is_written,
    determinism::threads_change_no_bit,
    determinism::levels_with_fused_multiply_add_agree,
);
