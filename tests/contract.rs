//! The contract suite on the processor at every SIMD level, and on the device that a program would take. On a GPU:
//! `tests/cuda/tests/cuda/contract.rs`.
//!
//! A level that this machine lacks is skipped, and says so.

use std::io::Write;

use batchnorm::{Cpu, Device, Error, Level};

/// A CPU at a level, or the word that this machine has none: written past the test harness, which keeps what a passing
/// test prints to itself.
fn at_level(level: Level, check: &str) -> Option<Cpu> {
    // WebAssembly has none but the caller's.
    let threads = if cfg!(target_family = "wasm") { 1 } else { 2 };
    let cpu = Cpu::with_threads(threads).expect("threads").at_level(level);
    cpu.map_err(|error| skipped(check, &error)).ok()
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

/// Makes a test of each check, at each level and on the device.
macro_rules! on_every_backend {
    ($($module:ident::$check:ident),* $(,)?) => {
        on_level!(portable Portable $($module::$check),*);
        on_level!(simd128 Simd128 $($module::$check),*);
        on_level!(neon Neon $($module::$check),*);
        on_level!(avx2 Avx2 $($module::$check),*);
        on_level!(avx512 Avx512 $($module::$check),*);
        mod device {
            $(#[test] fn $check() { contract_suite::$module::$check(&super::Device::best_available()); })*
        }
    };
}

/// The same for slices.
macro_rules! on_every_level {
    ($($module:ident::$check:ident),* $(,)?) => {
        on_level!(slices_portable Portable $($module::$check),*);
        on_level!(slices_simd128 Simd128 $($module::$check),*);
        on_level!(slices_neon Neon $($module::$check),*);
        on_level!(slices_avx2 Avx2 $($module::$check),*);
        on_level!(slices_avx512 Avx512 $($module::$check),*);
    };
}

contract_suite::for_each_check!(on_every_backend);
contract_suite::for_each_check_of_slices!(on_every_level);
