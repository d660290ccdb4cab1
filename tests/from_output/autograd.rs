//! Gradients that PyTorch's autograd gave in f64, found again from its y.

use batchnorm::backend::{
    ActivationBackward, Backend, GradientSumsMut, InOut, Normalization, SavedActivation,
    StatisticsSource,
};
use batchnorm::{Activation, BatchNormConfig, Cpu, Element, Shape};
use serde_json::Value;

use crate::{layer, of, tensor};

/// All numbers of an array of any depth, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
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

struct Case(Value);

impl Case {
    fn new() -> Self {
        Self(serde_json::from_str(include_str!("data/leaky.json")).unwrap())
    }

    fn array(&self, name: &str) -> Vec<f64> {
        numbers(&self.0[name])
    }

    fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap()
    }
}

/// The layer, from x on.
fn check_layer<T: Element>(tolerance: f64) {
    let case = Case::new();
    let cpu = Cpu::with_threads(1).unwrap();
    let slope = case.number("slope");
    let config = BatchNormConfig::new(2)
        .epsilon(case.number("epsilon"))
        .activation(Activation::LeakyRelu { slope });
    let mut layer = layer::<T>(&cpu, config);
    let gamma = layer.gamma_mut().unwrap();
    gamma.set(&of(&case.array("gamma"))).unwrap();
    let beta = layer.beta_mut().unwrap();
    beta.set(&of(&case.array("beta"))).unwrap();
    let shape = Shape::channels_first(&[3, 2, 4]).unwrap();
    let x = tensor::<T, _>(&cpu, shape, &case.array("x"));
    let dy = tensor::<T, _>(&cpu, shape, &case.array("dy"));
    let pass = layer.forward_training_in_place(x, None).unwrap();
    let y = pass.output().to_vec().unwrap();
    close::<T>("y", &y, &case.array("y"), tolerance);
    let found = pass.backward(&dy).unwrap();
    let dx = found.input.to_vec().unwrap();
    close::<T>("dx", &dx, &case.array("dx"), tolerance);
    let dgamma = found.gamma.unwrap().to_vec().unwrap();
    close("dgamma", &dgamma, &case.array("dgamma"), tolerance);
    let dbeta = found.beta.unwrap().to_vec().unwrap();
    close("dbeta", &dbeta, &case.array("dbeta"), tolerance);
}

#[test]
fn gradients_of_a_layer() {
    check_layer::<f64>(1e-13);
    check_layer::<f32>(3e-6);
}

/// The step, from autograd's y and inv_std on: of the statistics it reads nothing else.
#[test]
fn gradients_of_a_step() {
    let case = Case::new();
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[3, 2, 4]).unwrap();
    let (y, dy) = (case.array("y"), case.array("dy"));
    let (gamma, beta) = (case.array("gamma"), case.array("beta"));
    let inv_std = case.array("inv_std");
    let (mut dx, mut sums) = (vec![-77.0; 24], [[-77.0; 2]; 2]);
    let [dgamma, dbeta] = &mut sums;
    let slope = case.number("slope");
    cpu.backward::<f64>(
        &shape,
        InOut::Separate(&dy, &mut dx),
        &y,
        Normalization {
            mean: &[f64::NAN; 2],
            mean_low: &[f64::NAN; 2],
            inv_std: &inv_std,
            gamma: &gamma,
            beta: &beta,
        },
        StatisticsSource::Batch,
        ActivationBackward {
            activation: Activation::LeakyRelu { slope },
            saved: SavedActivation::Output(None),
        },
        None,
        GradientSumsMut {
            gamma: dgamma,
            beta: dbeta,
        },
    )
    .unwrap();
    close("dx", &dx, &case.array("dx"), 1e-13);
    close("dgamma", &sums[0], &case.array("dgamma"), 1e-13);
    close("dbeta", &sums[1], &case.array("dbeta"), 1e-13);
}
