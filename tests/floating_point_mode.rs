//! The caller's floating-point mode: results are those of the default mode, on every thread, and the caller keeps its own.
#![cfg(target_arch = "x86_64")]
#![allow(
    unsafe_code,
    reason = "the mode is a register that no safe code reaches"
)]

use std::arch::asm;

use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Element, Level, Shape, Tensor};
use half::f16;

const DEFAULT: u32 = 0x1f80;
/// Subnormal operands and results are zero.
const FLUSHED: u32 = DEFAULT | 0x8040;
const ROUNDED_UP: u32 = DEFAULT | 0x4000;
const ROUNDED_TO_ZERO: u32 = DEFAULT | 0x6000;

fn mode() -> u32 {
    let mut value = 0u32;
    // SAFETY: it writes four bytes, to where `value` is.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack)) }
    value & 0xffc0
}

fn set_mode(value: u32) {
    // SAFETY: it reads four bytes, where `value` is; every caller sets the default again.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack)) }
}

/// y and dx of values of which many are subnormal, on two threads.
fn passes<T: Element>(level: Level, mode_of_caller: u32) -> Vec<f64> {
    let cpu = Cpu::with_threads(2).unwrap().at_level(level).unwrap();
    let shape = Shape::channels_first(&[8, 9, 70, 70]).unwrap();
    let values: Vec<T> = (0..shape.len())
        .map(|i| T::from_f64(((i % 1009) as f64 - 500.3) * 1e-42))
        .collect();
    let x = Tensor::new(&cpu, shape, &values).unwrap();
    let config = BatchNormConfig::new(9)
        .epsilon(1e-80)
        .activation(Activation::Silu);
    let mut layer: BatchNorm<Cpu, T::Compute> = BatchNorm::new(&cpu, config).unwrap();
    set_mode(mode_of_caller);
    let (y, pass) = layer.forward_training(&x).unwrap();
    let gradients = pass.backward(&x).unwrap();
    let after = mode();
    set_mode(DEFAULT);
    assert_eq!(after, mode_of_caller, "the caller's mode is its own");
    let arrays = [y.to_vec().unwrap(), gradients.input.to_vec().unwrap()];
    arrays
        .iter()
        .flatten()
        .map(|value| value.to_f64())
        .collect()
}

#[test]
fn results_are_those_of_the_default_mode() {
    for level in Level::available() {
        for other in [FLUSHED, ROUNDED_UP, ROUNDED_TO_ZERO] {
            assert!(passes::<f32>(level, other) == passes::<f32>(level, DEFAULT));
            assert!(passes::<f64>(level, other) == passes::<f64>(level, DEFAULT));
            assert!(passes::<f16>(level, other) == passes::<f16>(level, DEFAULT));
        }
    }
}
