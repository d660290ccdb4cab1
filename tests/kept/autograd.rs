//! What PyTorch's autograd gave in f64, with weights of 0 and 1 and with others.

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Element, Kept, Shape};
use serde_json::Value;

use crate::{tensor, wide};

/// All numbers of an array of arrays, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn check<T: Element>(case: &str, tolerance: f64) {
    let case: Value = serde_json::from_str(case).unwrap();
    let array = |name: &str| numbers(&case[name]);
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[3, 2, 4]).unwrap();
    let kept = Kept::weights(&shape, &array("weights")).unwrap();
    assert_eq!(kept.weight(), case["total_weight"].as_f64().unwrap());
    let (mut x, mut dy) = (array("x"), array("dy"));
    for (place, weight) in array("weights").into_iter().enumerate() {
        for c in 0..2 {
            if weight == 0.0 {
                let at = shape.index(place / 4, c, place % 4);
                (x[at], dy[at]) = (f64::NAN, f64::INFINITY);
            }
        }
    }
    let config = BatchNormConfig::new(2).epsilon(case["epsilon"].as_f64().unwrap());
    let mut layer = BatchNorm::<_, T::Compute>::with_compute(&cpu, config).unwrap();
    let typed = |name: &str| -> Vec<T::Compute> {
        let values = array(name);
        let typed = values
            .iter()
            .map(|&value| <T::Compute as Element>::from_f64(value));
        typed.collect()
    };
    layer.gamma_mut().unwrap().set(&typed("gamma")).unwrap();
    layer.beta_mut().unwrap().set(&typed("beta")).unwrap();
    let x = tensor::<T>(&cpu, shape, &x);
    let (y, pass) = layer.forward_training(kept.of(&x)).unwrap();
    let gradients = pass.backward(&tensor::<T>(&cpu, shape, &dy)).unwrap();

    let close = |what: &str, found: &[f64], expected: &[f64]| {
        assert_eq!(found.len(), expected.len(), "{what}");
        for (found, expected) in found.iter().zip(expected) {
            let off = (found - expected).abs();
            let allowed = tolerance * (1.0 + expected.abs());
            assert!(off <= allowed, "{what}: {found} for {expected}");
        }
    };
    let of_channels =
        |array: &[T::Compute]| -> Vec<f64> { array.iter().map(|value| value.to_f64()).collect() };
    let statistics = &pass.statistics()[0];
    let (mean, variance) = (statistics.mean().slice(), statistics.variance().slice());
    close("mean", &of_channels(mean), &array("mean"));
    close("variance", &of_channels(variance), &array("variance"));
    close("y", &wide(&y), &array("y"));
    close("dx", &wide(&gradients.input), &array("dx"));
    let dgamma = gradients.gamma.unwrap();
    close("dgamma", &of_channels(dgamma.slice()), &array("dgamma"));
    let dbeta = gradients.beta.unwrap();
    close("dbeta", &of_channels(dbeta.slice()), &array("dbeta"));
    let correction = case["running_correction"].as_f64().unwrap();
    let followed: Vec<f64> = (array("variance").iter())
        .map(|variance| 0.9 + 0.1 * variance * correction)
        .collect();
    let running = layer.running().unwrap().variance().slice();
    close("running", &of_channels(running), &followed);
}

#[test]
fn weights_of_zero_and_one() {
    check::<f64>(include_str!("data/binary.json"), 1e-14);
    check::<f32>(include_str!("data/binary.json"), 2e-6);
}

#[test]
fn other_weights() {
    check::<f64>(include_str!("data/fractional.json"), 1e-14);
    check::<f32>(include_str!("data/fractional.json"), 2e-6);
}
