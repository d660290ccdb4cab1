//! The results of a ghost batch are those of its groups, each by itself, and the textbook's.

use batchnorm::backend::Backend;
use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Cpu, Device, Element, Layout, Shape, Tensor,
};
use contract_suite::layers::running;
use contract_suite::reference::Problem;
use half::bf16;

/// Irregular values.
fn wave(count: usize, a: f64, b: f64) -> Vec<f64> {
    (0..count)
        .map(|i| (i as f64 * a + b).sin() * 1.3 + (i as f64 * 0.37 + b).cos())
        .collect()
}

fn of<T: Element>(values: &[f64]) -> Vec<T> {
    values.iter().map(|&value| T::from_f64(value)).collect()
}

/// Dimensions in memory order, of (N, C, 4, 3).
fn shape(samples: usize, layout: Layout) -> Shape {
    match layout {
        Layout::ChannelsFirst => Shape::channels_first(&[samples, 5, 4, 3]).unwrap(),
        Layout::ChannelsLast => Shape::channels_last(&[samples, 4, 3, 5]).unwrap(),
    }
}

fn layer<T: Element, B: Backend>(backend: &B, config: BatchNormConfig) -> BatchNorm<B, T::Compute> {
    let mut layer = BatchNorm::with_compute(backend, config).unwrap();
    let channels = config.channels();
    layer
        .gamma_mut()
        .unwrap()
        .set(&of(&wave(channels, 2.1, 0.4)))
        .unwrap();
    layer
        .beta_mut()
        .unwrap()
        .set(&of(&wave(channels, 1.3, 0.9)))
        .unwrap();
    layer
}

/// What a training step leaves, in order: y, dx, the residual's gradient, and the gradients of γ and β.
#[derive(Debug, Default, PartialEq)]
struct Step<T: Element> {
    y: Vec<T>,
    dx: Vec<T>,
    dresidual: Vec<T>,
    dgamma: Vec<T::Compute>,
    dbeta: Vec<T::Compute>,
}

fn step<T: Element, B: Backend>(
    layer: &mut BatchNorm<B, T::Compute>,
    shape: Shape,
    [x, residual, dy]: [&[T]; 3],
    add: bool,
) -> Step<T> {
    let backend = layer.backend().clone();
    let tensor = |values: &[T]| Tensor::new(&backend, shape, values).unwrap();
    let (x, residual, dy) = (tensor(x), tensor(residual), tensor(dy));
    let (y, pass) = if add {
        layer.forward_training_add(&x, &residual).unwrap()
    } else {
        layer.forward_training(&x).unwrap()
    };
    let gradients = pass.backward(&dy).unwrap();
    let dresidual = gradients
        .residual
        .map(|residual| residual.to_vec().unwrap());
    Step {
        y: y.to_vec().unwrap(),
        dx: gradients.input.to_vec().unwrap(),
        dresidual: dresidual.unwrap_or_default(),
        dgamma: gradients.gamma.unwrap().to_vec().unwrap(),
        dbeta: gradients.beta.unwrap().to_vec().unwrap(),
    }
}

/// The samples of each group of 4, of so many in all.
fn groups(samples: usize) -> Vec<std::ops::Range<usize>> {
    (0..samples)
        .step_by(4)
        .map(|start| start..samples.min(start + 4))
        .collect()
}

/// A ghost batch against a layer that is given its groups one by one: the same bits everywhere, but for dγ and dβ, which
/// are sums of sums.
fn check_one_by_one<T: Element, B: Backend>(backend: &B, sum_tolerance: f64) {
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        for (activation, add) in [
            (Activation::None, false),
            (Activation::Relu, false),
            (Activation::None, true),
            (Activation::Relu, true),
        ] {
            let shape_of = |samples| shape(samples, layout);
            let config = BatchNormConfig::new(5).momentum(0.3).activation(activation);
            let mut one_by_one = layer::<T, B>(backend, config);
            let mut ghost = layer::<T, B>(backend, config.ghost_batch(4));
            let (samples, sample) = (14, shape_of(1).len());
            let data = [(1.7, 0.2), (2.9, 1.1), (0.9, 2.3)]
                .map(|(a, b)| of::<T>(&wave(samples * sample, a, b)));
            let mut expected = Step::<T>::default();
            let mut sums = [[0.0; 5]; 2];
            for group in groups(samples) {
                let part =
                    |values: &Vec<T>| values[group.start * sample..group.end * sample].to_vec();
                let [x, residual, dy] = data.each_ref().map(part);
                let of_group = step(
                    &mut one_by_one,
                    shape_of(group.len()),
                    [&x, &residual, &dy],
                    add,
                );
                expected.y.extend(of_group.y);
                expected.dx.extend(of_group.dx);
                expected.dresidual.extend(of_group.dresidual);
                for c in 0..5 {
                    sums[0][c] += of_group.dgamma[c].to_f64();
                    sums[1][c] += of_group.dbeta[c].to_f64();
                }
            }
            let [x, residual, dy] = &data;
            let found = step(&mut ghost, shape_of(samples), [x, residual, dy], add);
            assert_eq!(found.y, expected.y);
            assert_eq!(found.dx, expected.dx);
            assert_eq!(found.dresidual, expected.dresidual);
            assert_eq!(running(&ghost), running(&one_by_one));
            assert_eq!(running(&ghost).2, 4);
            for (found, sums) in [found.dgamma, found.dbeta].iter().zip(&sums) {
                for (found, sum) in found.iter().zip(sums) {
                    assert!((found.to_f64() - sum).abs() <= sum_tolerance * (1.0 + sum.abs()));
                }
            }
        }
    }
}

#[test]
fn the_same_as_the_groups_one_by_one() {
    let cpu = Cpu::with_threads(2).unwrap();
    check_one_by_one::<f32, _>(&cpu, 1e-6);
    check_one_by_one::<bf16, _>(&cpu, 1e-6);
    check_one_by_one::<f64, _>(&cpu, 1e-14);
    check_one_by_one::<f32, _>(&Device::cpu(), 1e-6);
}

#[test]
fn gradients_are_the_textbook_s() {
    let cpu = Cpu::with_threads(1).unwrap();
    let (whole, sample) = (
        shape(14, Layout::ChannelsLast),
        shape(1, Layout::ChannelsLast).len(),
    );
    let config = BatchNormConfig::new(5)
        .activation(Activation::Relu)
        .ghost_batch(4);
    let mut layer = layer::<f64, _>(&cpu, config);
    let [x, residual, dy] =
        [(1.7, 0.2), (2.9, 1.1), (0.9, 2.3)].map(|(a, b)| wave(whole.len(), a, b));
    let found = step(&mut layer, whole, [&x, &residual, &dy], true);
    let (mut dgamma, mut dbeta) = ([0.0; 5], [0.0; 5]);
    for group in groups(14) {
        let part = group.start * sample..group.end * sample;
        let problem = Problem {
            shape: shape(group.len(), Layout::ChannelsLast),
            x: x[part.clone()].to_vec(),
            gamma: wave(5, 2.1, 0.4),
            beta: wave(5, 1.3, 0.9),
            epsilon: 1e-5,
            residual: Some(residual[part.clone()].to_vec()),
            activation: Activation::Relu,
            running: None,
            dy: dy[part.clone()].to_vec(),
        };
        let forward = problem.forward();
        let backward = problem.backward(&forward, |i| if forward.v[i] > 0.0 { 1.0 } else { 0.0 });
        for (i, at) in part.enumerate() {
            assert!((found.y[at] - forward.y[i]).abs() < 1e-12);
            assert!((found.dx[at] - backward.dx[i]).abs() < 1e-12);
            assert!((found.dresidual[at] - backward.dv[i]).abs() < 1e-12);
        }
        for c in 0..5 {
            dgamma[c] += backward.dgamma[c];
            dbeta[c] += backward.dbeta[c];
        }
    }
    for c in 0..5 {
        assert!((found.dgamma[c] - dgamma[c]).abs() < 1e-12);
        assert!((found.dbeta[c] - dbeta[c]).abs() < 1e-12);
    }
}
