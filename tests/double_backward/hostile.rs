//! Inputs on which the formulas lose digits, or multiply what was not given by what is not finite.

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Element, Error, Shape};

use crate::{Given, channels, tensor, wave};

/// What is with respect to dy, x and γ, as f64.
fn of<T: Element>(shape: Shape, [x, dy, u]: [&[f64]; 3], threads: usize) -> [Vec<f64>; 3] {
    let cpu = Cpu::with_threads(threads).unwrap();
    let config = BatchNormConfig::new(shape.channels());
    let mut layer = BatchNorm::<_, T::Compute>::with_compute(&cpu, config).unwrap();
    let (_, pass) = layer
        .forward_training(tensor::<T, _>(&cpu, shape, x))
        .unwrap();
    let (dy, u) = (
        tensor::<T, _>(&cpu, shape, dy),
        tensor::<T, _>(&cpu, shape, u),
    );
    let given = Given {
        input: Some(&u),
        ..Given::default()
    };
    let second = pass.double_backward(&dy, given).unwrap();
    let gamma = second.gamma.unwrap().to_vec().unwrap();
    let f64s = |values: Vec<T>| values.iter().map(|value| value.to_f64()).collect();
    [
        f64s(second.dy.to_vec().unwrap()),
        f64s(second.input.to_vec().unwrap()),
        gamma.iter().map(|value| value.to_f64()).collect(),
    ]
}

/// Gradients of which the means are far larger than what they differ by: the covariance of u and g is not what is left of mean(u·g).
#[test]
fn means_far_larger_than_deviations() {
    let first = Shape::channels_first(&[8, 3, 20, 30]).unwrap();
    let last = Shape::channels_last(&[40, 20, 30, 3]).unwrap();
    for (shape, far, most) in [(first, 100.0, 2e-4), (last, 100.0, 2e-4), (last, 1e4, 2e-2)] {
        let round = |values: Vec<f64>| -> Vec<f64> {
            values
                .iter()
                .map(|&value| f32::from_f64(value).to_f64())
                .collect()
        };
        let away = |values: Vec<f64>| round(values.iter().map(|value| value + far).collect());
        let x = round(wave(shape.len(), 0.7, 0.1));
        let (dy, u) = (
            away(wave(shape.len(), 1.1, 0.4)),
            away(wave(shape.len(), 0.9, 0.8)),
        );
        let arrays = [&x[..], &dy, &u];
        let expected = of::<f64>(shape, arrays, 1);
        for threads in [1, 2] {
            let found = of::<f32>(shape, arrays, threads);
            for (found, expected) in found.iter().zip(&expected) {
                let largest = expected
                    .iter()
                    .fold(0.0f64, |most, value| most.max(value.abs()));
                for (found, expected) in found.iter().zip(expected) {
                    let off = (found - expected).abs() / largest;
                    assert!(
                        off < most,
                        "{shape}, {far}: {found:e}, expected {expected:e}"
                    );
                }
            }
        }
    }
}

/// What is not given is zero, even times infinity.
#[test]
fn what_is_not_given_is_not_multiplied() {
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[4, 1]).unwrap();
    let (ordinary, infinite) = ([1.0, 2.0, 3.0, 6.0], [1.0, f64::INFINITY, 0.5, 2.0]);
    let tensor = |values: &[f64; 4]| tensor::<f32, _>(&cpu, shape, values);
    let config = BatchNormConfig::new(1).epsilon(1.0);
    let mut layer = BatchNorm::<_, f32>::with_compute(&cpu, config).unwrap();
    // u alone, of a frozen layer, for which x is nothing but where it is read; its mean is 0, its variance 1.
    let u = tensor(&ordinary);
    let given = Given {
        input: Some(&u),
        ..Given::default()
    };
    let (_, pass) = layer.forward_frozen(tensor(&infinite)).unwrap();
    let second = pass.double_backward(&tensor(&ordinary), given).unwrap();
    let inv_std = 0.5f32.sqrt();
    let expected: Vec<f32> = ordinary
        .iter()
        .map(|&u| f32::from_f64(u) * inv_std)
        .collect();
    for (found, expected) in second.dy.to_vec().unwrap().iter().zip(&expected) {
        assert!(
            (found - expected).abs() < 1e-6,
            "{found}, expected {expected}"
        );
    }
    assert_eq!(second.input.to_vec().unwrap(), [0.0; 4]);
    // B alone, in training, with a dy that is not finite.
    let b = channels::<f32, _>(&cpu, &[3.0]);
    let given = Given {
        beta: Some(&b),
        ..Given::default()
    };
    let (_, pass) = layer.forward_training(tensor(&ordinary)).unwrap();
    let second = pass.double_backward(&tensor(&infinite), given).unwrap();
    assert_eq!(second.dy.to_vec().unwrap(), [3.0; 4]);
    assert_eq!(second.input.to_vec().unwrap(), [0.0; 4]);
    assert_eq!(second.gamma.unwrap().to_vec().unwrap(), [0.0]);
}

/// γ·inv_std beyond f32, for which the other passes have two factors: an error that names the channel.
#[test]
fn a_factor_beyond_the_type_is_an_error() {
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[4, 1]).unwrap();
    let x = [1e-9, 2e-9, 3e-9, 6e-9];
    let x = tensor::<f32, _>(&cpu, shape, &x);
    let u = tensor::<f32, _>(&cpu, shape, &[1e-10, 0.0, 0.0, 0.0]);
    let config = BatchNormConfig::new(1).epsilon(1e-30);
    let mut layer = BatchNorm::<_, f32>::with_compute(&cpu, config).unwrap();
    layer.gamma_mut().unwrap().set(&[1e30]).unwrap();
    let (_, pass) = layer.forward_training(x).unwrap();
    let given = Given {
        input: Some(&u),
        ..Given::default()
    };
    let (mut of_dy, mut of_x) = (u.clone(), u.clone());
    let error = pass
        .double_backward_into(&u, given, &mut of_dy, &mut of_x)
        .unwrap_err();
    assert!(
        matches!(&error, Error::Value { what, found, .. }
            if what.starts_with("gamma times inv_std") && found.ends_with("of channel 0")),
        "{error}"
    );
    assert_eq!(of_dy.to_vec().unwrap(), u.to_vec().unwrap());
    assert_eq!(of_x.to_vec().unwrap(), u.to_vec().unwrap());
}
