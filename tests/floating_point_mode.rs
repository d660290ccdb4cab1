//! The caller's floating-point mode: results are those of the default mode, on every thread, and the caller keeps its own.
#![cfg(any(target_arch = "x86_64", target_arch = "x86"))]
#![allow(
    unsafe_code,
    reason = "the mode is a register that no safe code reaches"
)]

use std::arch::asm;

use batchnorm::{
    Activation, Averaging, BatchNorm, BatchNormConfig, Cpu, DType, Element, Level,
    PooledStatistics, RunningVariance, Shape, Tensor,
};
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
    let mut layer: BatchNorm<Cpu, T::Compute> = BatchNorm::with_compute(&cpu, config).unwrap();
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

/// What a layer makes of values between the steps: running statistics of a cumulative average over values of which some are
/// subnormal, pooled, folded, converted, and stored in a file.
fn between_the_steps(mode_of_caller: u32) -> (Vec<u8>, Vec<f64>) {
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[7, 3]).unwrap();
    let batch = |scale: f32| {
        let values: Vec<f32> = (0..21).map(|i| (i * i % 11) as f32 * scale).collect();
        Tensor::new(&cpu, shape, &values).unwrap()
    };
    let batches = [batch(0.3), batch(1e-41), batch(3e-20)];
    let config = BatchNormConfig::new(3).epsilon(1e-40);
    let mut cumulative: BatchNorm<Cpu> =
        BatchNorm::new(&cpu, config.averaging(Averaging::Cumulative)).unwrap();
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu, config.momentum(0.3)).unwrap();
    let gamma = [3e-39f32, 0.7, 1e20];
    layer.gamma_mut().unwrap().set(&gamma).unwrap();
    set_mode(mode_of_caller);
    let mut pool = PooledStatistics::new(3);
    for x in &batches {
        cumulative.forward_training(x).unwrap();
        let statistics = layer.batch_statistics(x).unwrap();
        pool.add(&statistics).unwrap();
        layer.follow(&statistics).unwrap();
    }
    let variances: Vec<f64> = pool.variance().unwrap().collect();
    let mut adopted: BatchNorm<Cpu> = BatchNorm::new(&cpu, config).unwrap();
    let running = adopted.running_mut().unwrap();
    running.adopt(&pool, RunningVariance::Unbiased).unwrap();
    let files = [&cumulative, &layer, &adopted]
        .map(|layer| layer.to_bytes("", DType::BF16).unwrap())
        .concat();
    let of_pool = pool.to_batch::<f32, Cpu>(&cpu, 1e-40).unwrap();
    let folded = layer
        .fold_into_linear(&[1e-38f32, 0.1, 3.0], &[3, 1], None)
        .unwrap();
    let scale_and_shift = adopted.scale_and_shift().unwrap();
    let keras = layer.to_keras().unwrap();
    let again = BatchNorm::from_keras(&cpu, &keras).unwrap();
    let mut loaded: BatchNorm<Cpu> = BatchNorm::new(&cpu, config).unwrap();
    let saved = layer.to_bytes("", DType::F32).unwrap();
    loaded.load_bytes(&saved, "").unwrap();
    let numbers = [
        of_pool.inv_std().to_vec().unwrap(),
        of_pool.mean_low().to_vec().unwrap(),
        folded.weight,
        folded.bias,
        scale_and_shift.scale,
        scale_and_shift.shift,
        again.running().unwrap().variance().to_vec().unwrap(),
        loaded.gamma().unwrap().to_vec().unwrap(),
    ];
    let after = mode();
    set_mode(DEFAULT);
    assert_eq!(after, mode_of_caller, "the caller's mode is its own");
    let numbers = numbers.into_iter().flatten().map(f64::from);
    let momentum = keras.momentum;
    (files, numbers.chain(variances).chain([momentum]).collect())
}

#[test]
fn what_is_between_the_steps_is_of_the_default_mode() {
    let expected = between_the_steps(DEFAULT);
    assert!(
        expected
            .1
            .iter()
            .any(|value| value.abs() > 0.0 && value.abs() < 1e-38)
    );
    for other in [FLUSHED, ROUNDED_UP, ROUNDED_TO_ZERO] {
        assert!(between_the_steps(other) == expected, "{other:x}");
    }
}
