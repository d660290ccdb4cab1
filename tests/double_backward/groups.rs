//! Ghost batches, renormalized or not: each is a batch of its own, given the same gradients of dγ and dβ.

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Cpu, Element, Layout, Renormalization, Shape,
};
use half::bf16;

use crate::{Given, channels, close, of, tensor, wave};

fn shape(samples: usize, layout: Layout) -> Shape {
    match layout {
        Layout::ChannelsFirst => Shape::channels_first(&[samples, 5, 4, 3]).unwrap(),
        Layout::ChannelsLast => Shape::channels_last(&[samples, 4, 3, 5]).unwrap(),
    }
}

fn layer<T: Element>(cpu: &Cpu, config: BatchNormConfig) -> BatchNorm<Cpu, T::Compute> {
    let mut layer = BatchNorm::with_compute(cpu, config).unwrap();
    layer
        .gamma_mut()
        .unwrap()
        .set(&of(&wave(5, 2.1, 0.4)))
        .unwrap();
    layer
        .beta_mut()
        .unwrap()
        .set(&of(&wave(5, 1.3, 0.9)))
        .unwrap();
    let variance: Vec<f64> = (0..5).map(|c| 0.6 + 0.4 * f64::from(c)).collect();
    let running = layer.running_mut().unwrap();
    running
        .set(&of(&wave(5, 0.7, 0.1)), &of(&variance), 1)
        .unwrap();
    layer
}

/// With respect to dy, x and γ.
type Found<T> = (Vec<T>, Vec<T>, Vec<<T as Element>::Compute>);

/// Of samples that begin there.
fn second_gradients<T: Element>(
    cpu: &Cpu,
    config: BatchNormConfig,
    shape: Shape,
    start: usize,
) -> Found<T> {
    let [x, dy, ddx, residual, ddresidual] = [1.7, 0.9, 2.2, 1.1, 0.6].map(|a| {
        let values = wave(start + shape.len(), a, 0.2);
        tensor::<T, _>(cpu, shape, &values[start..])
    });
    let (_, pass) = layer::<T>(cpu, config)
        .forward_training_add(&x, &residual)
        .unwrap();
    let [ddgamma, ddbeta] = [0.3, 1.9].map(|a| channels(cpu, &wave(5, a, 0.5)));
    let given = Given::<T, _> {
        input: Some(&ddx),
        residual: Some(&ddresidual),
        gamma: Some(&ddgamma),
        beta: Some(&ddbeta),
    };
    let found = pass.double_backward(&dy, given).unwrap();
    // The same bits, in memory of the caller's and from an x that is given anew.
    let mut of_dy = tensor::<T, _>(cpu, shape, &vec![f64::NAN; shape.len()]);
    let mut of_x = of_dy.clone();
    let pass = pass.without_input();
    let gamma = pass.double_backward_into(&x, &dy, given, &mut of_dy, &mut of_x);
    let values = |array: &batchnorm::Tensor<T, Cpu>| array.to_vec().unwrap();
    assert_eq!(values(&of_dy), values(&found.dy));
    assert_eq!(values(&of_x), values(&found.input));
    let gamma = gamma.unwrap().unwrap().to_vec().unwrap();
    assert_eq!(gamma, found.gamma.unwrap().to_vec().unwrap());
    (values(&of_dy), values(&of_x), gamma)
}

fn check<T: Element>(layout: Layout, renormalization: Option<Renormalization>, tolerance: f64) {
    let cpu = Cpu::with_threads(2).unwrap();
    let config = BatchNormConfig::new(5)
        .activation(Activation::LeakyRelu { slope: 0.1 })
        .renormalization(renormalization);
    let (samples, sample) = (14, shape(1, layout).len());
    let whole = shape(samples, layout);
    let (of_dy, of_x, of_gamma) = second_gradients::<T>(&cpu, config.ghost_batch(4), whole, 0);
    let mut sums = [0.0; 5];
    for start in (0..samples).step_by(4) {
        let group = start..samples.min(start + 4);
        let part = group.start * sample..group.end * sample;
        let shape = shape(group.len(), layout);
        let (dy, x, gamma) = second_gradients::<T>(&cpu, config, shape, part.start);
        assert_eq!(of_dy[part.clone()], dy);
        assert_eq!(of_x[part], x);
        for (sum, gamma) in sums.iter_mut().zip(gamma) {
            *sum += gamma.to_f64();
        }
    }
    close::<T::Compute>("of gamma", &of_gamma, &sums, tolerance);
}

#[test]
fn every_group_is_a_batch() {
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        for renormalization in [None, Some(Renormalization::new(1.3, 0.4))] {
            check::<f32>(layout, renormalization, 1e-5);
            check::<bf16>(layout, renormalization, 1e-5);
            check::<f64>(layout, renormalization, 1e-13);
        }
    }
}

/// With R and D as constants, the loss `Σ u·dx + G·dγ + B·dβ` by differences of γ and dy.
#[test]
fn a_renormalized_pass_by_differences() {
    let cpu = Cpu::with_threads(1).unwrap();
    let config = BatchNormConfig::new(5).renormalization(Renormalization::new(1.3, 0.4));
    let shape = shape(4, Layout::ChannelsFirst);
    let (ddx, ddgamma, ddbeta) = (
        wave(shape.len(), 2.2, 0.2),
        wave(5, 0.3, 0.5),
        wave(5, 1.9, 0.5),
    );
    let x = tensor::<f64, _>(&cpu, shape, &wave(shape.len(), 1.7, 0.2));
    let dy = wave(shape.len(), 0.9, 0.2);
    let gamma = wave(5, 2.1, 0.4);
    let pass = |gamma: &[f64]| {
        let mut layer = layer::<f64>(&cpu, config);
        layer.gamma_mut().unwrap().set(gamma).unwrap();
        layer.forward_training(x.clone()).unwrap().1
    };
    let loss = |gamma: &[f64], dy: &[f64]| {
        let gradients = pass(gamma).backward(&tensor(&cpu, shape, dy)).unwrap();
        let dot = |a: Vec<f64>, b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(gradients.input.to_vec().unwrap(), &ddx)
            + dot(gradients.gamma.unwrap().to_vec().unwrap(), &ddgamma)
            + dot(gradients.beta.unwrap().to_vec().unwrap(), &ddbeta)
    };
    let [given_gamma, given_beta] = [&ddgamma, &ddbeta].map(|values| channels(&cpu, values));
    let given_x = tensor::<f64, _>(&cpu, shape, &ddx);
    let given = Given::<f64, _> {
        input: Some(&given_x),
        residual: None,
        gamma: Some(&given_gamma),
        beta: Some(&given_beta),
    };
    let dy_given = tensor(&cpu, shape, &dy);
    let found = pass(&gamma).double_backward(&dy_given, given).unwrap();
    // The loss is linear in either, so that any step will do.
    let slope = |of: &[f64], at: usize, loss: &dyn Fn(&[f64]) -> f64| {
        let moved = |by: f64| {
            let mut moved = of.to_vec();
            moved[at] += by;
            loss(&moved)
        };
        (moved(0.5) - moved(-0.5)) / 1.0
    };
    let of_gamma: Vec<f64> = (0..5)
        .map(|c| slope(&gamma, c, &|gamma| loss(gamma, &dy)))
        .collect();
    let of_dy: Vec<f64> = (0..shape.len())
        .map(|i| slope(&dy, i, &|dy| loss(&gamma, dy)))
        .collect();
    close::<f64>(
        "of gamma",
        &found.gamma.unwrap().to_vec().unwrap(),
        &of_gamma,
        1e-11,
    );
    close::<f64>("of dy", &found.dy.to_vec().unwrap(), &of_dy, 1e-11);
}
