//! How far dx is from the textbook's, by |β/γ|: the table of `OutputPass`, to which the arithmetic and the rounding of dx come.

use batchnorm::{Activation, BatchNormConfig, Cpu, Element, Shape};
use contract_suite::reference::{Problem, slope_of};
use half::{bf16, f16};

use crate::{layer, of, tensor};

const RATIOS: [f64; 4] = [0.0, 1.0, 10.0, 100.0];
const SLOPE: f64 = 0.01;

/// Values as of a normal distribution: of twelve from −½ to ½ the sum.
fn normal(count: usize, mut seed: u64) -> Vec<f64> {
    let mut next = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    (0..count).map(|_| (0..12).map(|_| next()).sum()).collect()
}

/// The largest error of dx beside the largest dx, of a dy that is correlated with x.
fn error<T: Element>(activation: Activation, ratio: f64) -> f64 {
    let shape = Shape::channels_first(&[16, 1, 64, 64]).unwrap();
    let stored = |values: Vec<f64>| -> Vec<f64> {
        of::<T>(&values)
            .iter()
            .map(|value| value.to_f64())
            .collect()
    };
    let x = stored(normal(shape.len(), 1));
    let noise = normal(shape.len(), 2);
    let dy = stored(noise.iter().zip(&x).map(|(noise, x)| noise + x).collect());
    let problem = Problem {
        shape,
        x,
        gamma: vec![0.75],
        beta: vec![0.75 * ratio],
        epsilon: 1e-5,
        residual: None,
        activation,
        running: None,
        dy,
    };
    let forward = problem.forward();
    let expected = problem
        .backward(&forward, |i| slope_of(activation, forward.v[i]))
        .dx;

    let cpu = Cpu::with_threads(2).unwrap();
    let config = BatchNormConfig::new(1).activation(activation);
    let mut layer = layer::<T>(&cpu, config);
    layer.gamma_mut().unwrap().set(&of(&problem.gamma)).unwrap();
    layer.beta_mut().unwrap().set(&of(&problem.beta)).unwrap();
    let x = tensor::<T, _>(&cpu, shape, &problem.x);
    let pass = layer.forward_training_in_place(x, None).unwrap();
    let dx = pass
        .backward(&tensor::<T, _>(&cpu, shape, &problem.dy))
        .unwrap();
    let off = |(found, expected): (&T, &f64)| (found.to_f64() - expected).abs();
    let most = dx
        .input
        .slice()
        .iter()
        .zip(&expected)
        .map(off)
        .fold(0.0, f64::max);
    most / expected.iter().fold(0.0f64, |most, dx| most.max(dx.abs()))
}

/// `of_output` are the table's row; `arithmetic` is what dx is off by where x is kept.
fn check<T: Element>(of_output: [f64; 4], arithmetic: f64) {
    for activation in [Activation::None, Activation::LeakyRelu { slope: SLOPE }] {
        for (ratio, of_output) in RATIOS.into_iter().zip(of_output) {
            let found = error::<T>(activation, ratio);
            println!("{} {activation} {ratio}: {found:e}", T::DTYPE);
            assert!(
                found <= of_output + arithmetic,
                "{} {activation} at beta/gamma = {ratio}: {found:e}",
                T::DTYPE
            );
        }
    }
}

#[test]
fn errors_by_beta_over_gamma() {
    check::<f32>([4e-8, 6e-8, 2e-7, 2e-6], 5e-7);
    check::<f16>([3e-4, 5e-4, 2e-3, 1.5e-2], 5e-4);
    check::<bf16>([2e-3, 3e-3, 1.4e-2, 1.2e-1], 4e-3);
    check::<f64>([1e-16, 2e-16, 5e-16, 5e-15], 1e-15);
}

/// ELU's v is off by more, the further it is below zero: here to some four deviations.
#[test]
fn errors_of_elu() {
    let elu = Activation::Elu { alpha: 1.0 };
    for (found, most) in [
        (error::<f32>(elu, 0.0), 2e-6),
        (error::<f16>(elu, 0.0), 2e-2),
        (error::<bf16>(elu, 0.0), 1e-1),
    ] {
        println!("elu: {found:e}");
        assert!(found <= most, "{found:e}");
    }
}
