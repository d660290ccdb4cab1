//! A batch of which not all is kept is the batch of the kept places alone, whatever stands at the others, in every pass of the layer.

use batchnorm::{Activation, BatchNormConfig, Cpu, Data, Element, Kept, Pass, Shape, Tensor};
use half::{bf16, f16};

use crate::{layer, tensor, wave, wide};

/// Sequences of 12 positions, of these lengths.
const LENGTHS: [usize; 5] = [12, 3, 0, 7, 1];

/// The values of an array of 5 samples and 12 positions that are kept, as (places, C); or the reverse, with `elsewhere` at the others.
fn alone(shape: &Shape, values: &[f64]) -> Vec<f64> {
    let mut kept = vec![];
    for (n, length) in LENGTHS.into_iter().enumerate() {
        for s in 0..length {
            kept.extend((0..shape.channels()).map(|c| values[shape.index(n, c, s)]));
        }
    }
    kept
}

fn with_garbage(shape: &Shape, values: &[f64]) -> Vec<f64> {
    let mut out = values.to_vec();
    for (n, length) in LENGTHS.into_iter().enumerate() {
        for s in length..12 {
            for c in 0..shape.channels() {
                out[shape.index(n, c, s)] = [f64::NAN, f64::NEG_INFINITY, 7e9][(n + s + c) % 3];
            }
        }
    }
    out
}

/// Zeros where nothing is kept, and what is elsewhere.
fn check_zeros(shape: &Shape, values: &[f64]) -> Vec<f64> {
    for (n, length) in LENGTHS.into_iter().enumerate() {
        for s in length..12 {
            for c in 0..shape.channels() {
                assert_eq!(values[shape.index(n, c, s)].to_bits(), 0);
            }
        }
    }
    alone(shape, values)
}

struct Operands<T: Element> {
    x: Tensor<T, Cpu>,
    residual: Tensor<T, Cpu>,
    dy: Tensor<T, Cpu>,
}

impl<T: Element> Operands<T> {
    fn of(cpu: &Cpu, shape: Shape, [x, residual, dy]: &[Vec<f64>; 3]) -> Self {
        Self {
            x: tensor(cpu, shape, x),
            residual: tensor(cpu, shape, residual),
            dy: tensor(cpu, shape, dy),
        }
    }
}

/// y, dx, the residual's gradient, dγ and dβ.
fn backward<T: Element, X: Data<Cpu, Element = T>>(
    y: &Tensor<T, Cpu>,
    pass: &Pass<X, Cpu>,
    dy: &Tensor<T, Cpu>,
) -> Vec<Vec<f64>> {
    let found = pass.backward(dy).unwrap();
    let mut all = vec![wide(y), wide(&found.input)];
    all.extend(found.residual.map(|of| wide(&of)));
    for array in [found.gamma, found.beta] {
        let values = array.unwrap().to_vec().unwrap();
        all.push(values.iter().map(|value| value.to_f64()).collect());
    }
    all
}

fn check<T: Element>(shape: Shape, activation: Activation, tolerance: f64) {
    let cpu = Cpu::with_threads(1).unwrap();
    let channels = shape.channels();
    let config = BatchNormConfig::new(channels).activation(activation);
    let values = [(1.7, 0.2), (2.9, 1.1), (0.9, 2.3)];
    let values = values.map(|(a, b)| wave(shape.len(), a, b));
    let given = Operands::<T>::of(
        &cpu,
        shape,
        &values.each_ref().map(|v| with_garbage(&shape, v)),
    );
    let kept = Kept::lengths(&shape, &LENGTHS).unwrap();
    let few = Shape::channels_last(&[LENGTHS.iter().sum(), channels]).unwrap();
    let reference = Operands::<T>::of(&cpu, few, &values.each_ref().map(|v| alone(&shape, v)));

    let mut masked = layer::<T>(&cpu, config);
    let mut plain = masked.clone();
    let (x, expected_x) = (kept.of(&given.x), &reference.x);
    let compare = |what: &str, found: Vec<Vec<f64>>, expected: Vec<Vec<f64>>| {
        assert_eq!(found.len(), expected.len());
        for (which, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            let found = match found.len() {
                len if len == channels => found,
                _ => check_zeros(&shape, &found),
            };
            assert_eq!(found.len(), expected.len(), "{what} {which}");
            for (found, expected) in found.iter().zip(&expected) {
                let off = (found - expected).abs();
                let allowed = tolerance * (1.0 + expected.abs());
                assert!(
                    off <= allowed,
                    "{what} {which} of {shape}: {found} for {expected}"
                );
            }
        }
    };

    let (y, pass) = masked.forward_training(&x).unwrap();
    let (expected_y, expected_pass) = plain.forward_training(expected_x).unwrap();
    let found = backward(&y, &pass, &given.dy);
    let expected = backward(&expected_y, &expected_pass, &reference.dy);
    compare("training", found, expected);
    assert_eq!(pass.statistics()[0].count(), few.batch());

    let (y, pass) = masked.forward_training_add(&x, &given.residual).unwrap();
    let (expected_y, expected_pass) = plain
        .forward_training_add(expected_x, &reference.residual)
        .unwrap();
    let found = backward(&y, &pass, &given.dy);
    let expected = backward(&expected_y, &expected_pass, &reference.dy);
    compare("training with a residual", found, expected);
    let (running, expected) = (masked.running().unwrap(), plain.running().unwrap());
    for (found, expected) in [
        (running.mean(), expected.mean()),
        (running.variance(), expected.variance()),
    ] {
        for (found, expected) in found.slice().iter().zip(expected.slice()) {
            let (found, expected) = (found.to_f64(), expected.to_f64());
            assert!((found - expected).abs() <= tolerance, "{found} {expected}");
        }
    }

    let (y, pass) = masked.forward_frozen_add(&x, &given.residual).unwrap();
    let (expected_y, expected_pass) = plain
        .forward_frozen_add(expected_x, &reference.residual)
        .unwrap();
    let found = backward(&y, &pass, &given.dy);
    let expected = backward(&expected_y, &expected_pass, &reference.dy);
    compare("frozen", found, expected);

    let found = masked.forward_inference_add(&x, &given.residual).unwrap();
    let expected = plain
        .forward_inference_add(expected_x, &reference.residual)
        .unwrap();
    compare("inference", vec![wide(&found)], vec![wide(&expected)]);
    let mut both = kept.of(given.x.clone());
    masked
        .forward_inference_in_place(&mut both, Some(&given.residual))
        .unwrap();
    assert_eq!(wide(both.input()), wide(&found));
}

#[test]
fn every_pass_is_that_of_the_kept_places() {
    for channels in [1, 3, 16, 70] {
        for shape in [
            Shape::channels_first(&[5, channels, 12]).unwrap(),
            Shape::channels_last(&[5, 12, channels]).unwrap(),
            Shape::channels_first(&[5, channels, 3, 4]).unwrap(),
        ] {
            for activation in [Activation::None, Activation::Relu, Activation::Silu] {
                check::<f64>(shape, activation, 1e-12);
                check::<f32>(shape, activation, 1e-5);
            }
            check::<f16>(shape, Activation::Relu, 1e-2);
            check::<bf16>(shape, Activation::Relu, 6e-2);
        }
    }
}

/// The same bits, with x given anew, in place, and deferred.
#[test]
fn every_way_to_go_backward_gives_the_same_bits() {
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[5, 3, 12]).unwrap();
    let kept = Kept::lengths(&shape, &LENGTHS).unwrap();
    for config in [
        BatchNormConfig::new(3).activation(Activation::Relu),
        BatchNormConfig::new(3).ghost_batch(3),
    ] {
        let layer = layer::<f32>(&cpu, config);
        let x = tensor::<f32>(&cpu, shape, &with_garbage(&shape, &wave(60 * 3, 1.7, 0.2)));
        let dy = tensor::<f32>(&cpu, shape, &with_garbage(&shape, &wave(60 * 3, 0.9, 0.7)));
        let (_, pass) = layer.forward_training_deferred(kept.of(&x)).unwrap();
        let expected = pass.backward(&dy).unwrap().input.to_vec().unwrap();
        let mut over = dy.clone();
        pass.backward_in_place(&mut over, None).unwrap();
        assert_eq!(over.to_vec().unwrap(), expected);
        let pass = pass.without_input();
        for found in [
            pass.backward(&x, &dy).unwrap(),
            pass.backward(&kept.of(&x), &dy).unwrap(),
        ] {
            assert_eq!(found.input.to_vec().unwrap(), expected);
        }
    }
}

/// Groups of samples take their part of what is kept with them.
#[test]
fn ghost_batches_are_batches_of_their_own() {
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_last(&[5, 12, 3]).unwrap();
    let weights: Vec<f32> = (0..60).map(|i| (i % 4) as f32 * 0.5).collect();
    let kept = Kept::weights(&shape, &weights).unwrap();
    let values = wave(shape.len(), 1.7, 0.2);
    let config = BatchNormConfig::new(3).ghost_batch(2);
    let (y, pass) = layer::<f32>(&cpu, config)
        .forward_training(kept.of(tensor::<f32>(&cpu, shape, &values)))
        .unwrap();
    let sample = 36;
    let mut found = vec![];
    for (group, samples) in [0..2, 2..4, 4..5].into_iter().enumerate() {
        let part = Shape::channels_last(&[samples.len(), 12, 3]).unwrap();
        let kept = Kept::weights(&part, &weights[samples.start * 12..samples.end * 12]).unwrap();
        let x = tensor::<f32>(
            &cpu,
            part,
            &values[samples.start * sample..samples.end * sample],
        );
        let mut alone = layer::<f32>(&cpu, BatchNormConfig::new(3));
        let (y, of_part) = alone.forward_training(kept.of(x)).unwrap();
        found.extend(y.to_vec().unwrap());
        assert_eq!(pass.statistics()[group].weight(), kept.weight());
        assert_eq!(
            pass.statistics()[group].mean().to_vec().unwrap(),
            of_part.statistics()[0].mean().to_vec().unwrap()
        );
    }
    assert_eq!(y.to_vec().unwrap(), found);
}
