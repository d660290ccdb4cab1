//! The contract suite on the processor at every SIMD level, on the GPU, and on the device that a program would take.
//!
//! A level or a GPU that this machine lacks is skipped, and says so.

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
                    contract_suite::$module::$check(&cpu);
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
                    contract_suite::$module::$check(&gpu);
                }
            })*
        }
        mod device {
            $(#[test] fn $check() { contract_suite::$module::$check(&super::Device::best_available()); })*
        }
    };
}

/// The same for slices.
macro_rules! on_every_level {
    ($($module:ident::$check:ident),* $(,)?) => {
        on_level!(slices_portable Portable $($module::$check),*);
        on_level!(slices_neon Neon $($module::$check),*);
        on_level!(slices_avx2 Avx2 $($module::$check),*);
        on_level!(slices_avx512 Avx512 $($module::$check),*);
    };
}

contract_suite::for_each_check!(on_every_backend);
contract_suite::for_each_check_of_slices!(on_every_level);
