//! The host converts and computes as the device does: every 16-bit pattern, and floats of every kind.

use batchnorm::Element;
use half::{bf16, f16};

use crate::launch::{Launch, hopper};

/// Runs a kernel of one value a thread.
fn each<X: Element, Y: Element>(kernel: &str, x: &[X]) -> Vec<Y> {
    let driver = hopper();
    assert!(x.len().is_multiple_of(256));
    let blocks = u32::try_from(x.len() / 256).expect("few blocks");
    Launch::new(&driver, kernel, blocks, 256)
        .run(x, x.len())
        .expect("a launch")
}

/// Every float around every 16-bit value and around the middle to the next, and patterns all over.
fn floats(of_bits: impl Fn(u16) -> f32) -> Vec<f32> {
    let mut floats = Vec::new();
    for bits in 0..=u16::MAX {
        let (value, next) = (of_bits(bits), of_bits(bits.wrapping_add(1)));
        let middle = f32::midpoint(value, next);
        floats.extend([value.next_down(), value, value.next_up()]);
        floats.extend([middle.next_down(), middle, middle.next_up()]);
    }
    floats.extend((0..1 << 17).map(|i: u32| f32::from_bits(i.wrapping_mul(0x9e37_79b1))));
    floats
}

#[test]
fn halves_become_floats() {
    let x: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    for (x, y) in x
        .iter()
        .zip(each::<f16, f32>("selftest_half_to_float_f16", &x))
    {
        assert!(
            y.to_bits() == x.to_f32().to_bits() || (x.is_nan() && y.is_nan()),
            "{x} {y}"
        );
    }
}

#[test]
fn floats_become_halves() {
    let x = floats(|bits| f16::from_bits(bits).to_f32());
    for (x, y) in x
        .iter()
        .zip(each::<f32, f16>("selftest_float_to_half_f16", &x))
    {
        let expected = f16::from_f32(*x);
        assert!(
            y.to_bits() == expected.to_bits() || (x.is_nan() && y.is_nan()),
            "{x:e} {y}"
        );
    }
}

#[test]
fn floats_become_bfloats() {
    let x = floats(|bits| bf16::from_bits(bits).to_f32());
    for (x, y) in x
        .iter()
        .zip(each::<f32, bf16>("selftest_float_to_half_bf16", &x))
    {
        let expected = bf16::from_f32(*x);
        assert!(
            y.to_bits() == expected.to_bits() || (x.is_nan() && y.is_nan()),
            "{x:e} {y}"
        );
    }
}

#[test]
fn arithmetic_is_rounded_once() {
    let driver = hopper();
    let small = 2_f64.powi(-30);
    let small_f32 = f64::from(f32::EPSILON);
    let x = [
        1.0 + small,
        1.0 - small,
        -1.0,
        2.0,
        1.0 + small_f32,
        1.0 - small_f32,
        -1.0,
        -0.1,
    ];
    let out: Vec<f64> = Launch::new(&driver, "selftest_arithmetic_f64", 1, 32)
        .run(&x, 5)
        .expect("a launch");
    let exactly = [
        -small * small,
        2_f64.sqrt(),
        -small_f32 * small_f32,
        -0.1,
        f64::from(-0.1_f32),
    ];
    assert_eq!(out, exactly);
}
