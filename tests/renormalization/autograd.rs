//! y and gradients that PyTorch's autograd gave in f64 of the paper's formula, with R and D detached: limits that clip, limits that are
//! not reached, and limits of nothing.

use batchnorm::{BatchNorm, BatchNormConfig, Compute, Cpu, Element, Renormalization, Shape};
use serde_json::Value;

use crate::{of, tensor, values};

/// All numbers of an array of any depth, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn check<T: Element>(case: &str, tolerance: f64) {
    let case: Value = serde_json::from_str(case).unwrap();
    let number = |name: &str| case[name].as_f64().unwrap();
    let array = |name: &str| numbers(&case[name]);
    let cpu = Cpu::with_threads(1).unwrap();
    let limits = Renormalization::new(number("rmax"), number("dmax"));
    let config = BatchNormConfig::new(2)
        .epsilon(number("epsilon"))
        .renormalization(limits);
    let mut layer = BatchNorm::<_, T::Compute>::with_compute(&cpu, config).unwrap();
    layer
        .gamma_mut()
        .unwrap()
        .set(&of(&array("gamma")))
        .unwrap();
    layer.beta_mut().unwrap().set(&of(&array("beta"))).unwrap();
    let running = layer.running_mut().unwrap();
    let (mean, variance) = (of(&array("running_mean")), of(&array("running_var")));
    running.set(&mean, &variance, 1).unwrap();

    let shape = Shape::channels_first(&[3, 2, 4]).unwrap();
    let x = tensor::<T, _>(&cpu, shape, &array("x"));
    let (y, pass) = layer.forward_training(&x).unwrap();
    let gradients = pass.backward(&tensor::<T, _>(&cpu, shape, &array("dy")));
    let (y, dx, dgamma, dbeta) = values(&y, gradients.unwrap());
    close::<T>("y", &y, &array("y"), tolerance);
    close::<T>("dx", &dx, &array("dx"), tolerance);
    close::<T::Compute>("dgamma", &dgamma, &array("dgamma"), tolerance);
    close::<T::Compute>("dbeta", &dbeta, &array("dbeta"), tolerance);
}

fn close<T: Element>(what: &str, found: &[T], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let off = (found.to_f64() - expected).abs();
        assert!(
            off <= tolerance * (1.0 + expected.abs()),
            "{what}[{i}] is {found:?}, autograd has {expected}"
        );
    }
}

fn check_types(case: &str) {
    check::<f64>(case, 1e-13);
    check::<f32>(case, 3e-6);
}

#[test]
fn clipped() {
    check_types(include_str!("data/clipped.json"));
}

#[test]
fn not_clipped() {
    check_types(include_str!("data/free.json"));
}

#[test]
fn without_renormalization() {
    check_types(include_str!("data/off.json"));
}

/// R and D as autograd's formula has them, in the step that gives them.
#[test]
fn r_and_d() {
    fn check<C: Compute>(case: &str, tolerance: f64) {
        use batchnorm::backend::{Backend, Normalization, RenormalizedMut, RunningReference};
        let case: Value = serde_json::from_str(case).unwrap();
        let array = |name: &str| of::<C>(&numbers(&case[name]));
        let epsilon = case["epsilon"].as_f64().unwrap();
        let cpu = Cpu::with_threads(1).unwrap();
        let layer = BatchNorm::<_, C>::with_compute(&cpu, BatchNormConfig::new(2).epsilon(epsilon));
        let shape = Shape::channels_first(&[3, 2, 4]).unwrap();
        let x = tensor::<C, _>(&cpu, shape, &numbers(&case["x"]));
        let statistics = layer.unwrap().batch_statistics(&x).unwrap();
        let (gamma, beta) = (array("gamma"), array("beta"));
        let (mean, variance) = (array("running_mean"), array("running_var"));
        let mut out = [0; 4].map(|_| [C::from_f64(-77.0); 2]);
        let [new_gamma, new_beta, r, d] = &mut out;
        cpu.renormalize::<C>(
            Normalization {
                mean: statistics.mean().slice(),
                mean_low: statistics.mean_low().slice(),
                inv_std: statistics.inv_std().slice(),
                gamma: &gamma,
                beta: &beta,
            },
            epsilon,
            RunningReference {
                mean: &mean,
                variance: &variance,
                r_max: case["rmax"].as_f64().unwrap(),
                d_max: case["dmax"].as_f64().unwrap(),
            },
            RenormalizedMut {
                gamma: new_gamma,
                beta: new_beta,
                r,
                d,
            },
        )
        .unwrap();
        close::<C>("r", &out[2], &numbers(&case["r"]), tolerance);
        close::<C>("d", &out[3], &numbers(&case["d"]), tolerance);
    }
    for case in [
        include_str!("data/clipped.json"),
        include_str!("data/free.json"),
        include_str!("data/off.json"),
    ] {
        check::<f64>(case, 1e-14);
        check::<f32>(case, 1e-6);
    }
}
