//! What PyTorch's autograd gave in f64, going backward through its own backward pass of the textbook's formula.

use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Data, Element, Shape};
use serde_json::Value;

use crate::{Given, channels, close, of, tensor};

fn check<T: Element>(case: &str, activation: Activation, tolerance: f64) {
    let case: Value = serde_json::from_str(case).unwrap();
    let array = |name: &str| -> Option<Vec<f64>> {
        let values = case.get(name)?.as_array()?;
        Some(values.iter().map(|value| value.as_f64().unwrap()).collect())
    };
    let needed = |name: &str| array(name).unwrap();
    let cpu = Cpu::with_threads(1).unwrap();
    let config = BatchNormConfig::new(2)
        .epsilon(case["epsilon"].as_f64().unwrap())
        .activation(activation);
    let mut layer = BatchNorm::<_, T::Compute>::with_compute(&cpu, config).unwrap();
    let gamma = layer.gamma_mut().unwrap();
    gamma.set(&of(&needed("gamma"))).unwrap();
    layer.beta_mut().unwrap().set(&of(&needed("beta"))).unwrap();

    let shape = Shape::channels_first(&[3, 2, 4]).unwrap();
    let like_x = |name: &str| array(name).map(|values| tensor::<T, _>(&cpu, shape, &values));
    let (x, dy) = (like_x("x").unwrap(), like_x("dy").unwrap());
    let residual = like_x("residual");
    let residual = residual
        .as_ref()
        .map(|residual| residual as &dyn Data<Cpu, Element = T>);
    let mut y = tensor::<T, _>(&cpu, shape, &[0.0; 24]);
    let pass = if let Some(mean) = array("running_mean") {
        let running = layer.running_mut().unwrap();
        let variance = of(&needed("running_var"));
        running.set(&of(&mean), &variance, 1).unwrap();
        layer.forward_frozen_into(&x, residual, &mut y).unwrap()
    } else {
        layer.forward_training_into(&x, residual, &mut y).unwrap()
    };
    let (ddx, ddresidual) = (like_x("ddx"), like_x("ddresidual"));
    let [ddgamma, ddbeta] = ["ddgamma", "ddbeta"].map(|name| channels(&cpu, &needed(name)));
    let given = Given::<T, _> {
        input: ddx.as_ref().map(|ddx| ddx as _),
        residual: ddresidual.as_ref().map(|ddresidual| ddresidual as _),
        gamma: Some(&ddgamma),
        beta: Some(&ddbeta),
    };
    let found = pass.double_backward(&dy, given).unwrap();
    let expected = |name: &str| needed(name);
    let [of_dy, of_x] = [found.dy, found.input].map(|array| array.to_vec().unwrap());
    close::<T>("of dy", &of_dy, &expected("grad_dy"), tolerance);
    close::<T>("of x", &of_x, &expected("grad_x"), tolerance);
    let of_gamma = found.gamma.unwrap().to_vec().unwrap();
    close::<T::Compute>("of gamma", &of_gamma, &expected("grad_gamma"), tolerance);
}

fn check_types(case: &str, activation: Activation) {
    check::<f64>(case, activation, 1e-13);
    check::<f32>(case, activation, 3e-6);
}

#[test]
fn training() {
    check_types(include_str!("data/none.json"), Activation::None);
}

#[test]
fn training_with_relu() {
    check_types(include_str!("data/relu.json"), Activation::Relu);
}

#[test]
fn training_with_a_residual_and_relu() {
    check_types(include_str!("data/add_relu.json"), Activation::Relu);
}

#[test]
fn frozen() {
    check_types(include_str!("data/frozen.json"), Activation::None);
}
