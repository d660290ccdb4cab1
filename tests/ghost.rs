//! Ghost batches: the same as the groups one by one, the textbook's gradients, what remains at the end, and what is
//! refused.

use batchnorm::backend::{Backend, Memory};
use batchnorm::{
    Activation, Averaging, BatchNorm, BatchNormConfig, Cpu, Device, Element, Error, Layout, Shape,
    Tensor,
};
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

/// Running mean, running variance, batches tracked.
fn running<B: Backend, C: batchnorm::Compute>(layer: &BatchNorm<B, C>) -> (Vec<C>, Vec<C>, u64) {
    let running = layer.running().unwrap();
    (
        running.mean().to_vec().unwrap(),
        running.variance().to_vec().unwrap(),
        running.num_batches_tracked(),
    )
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

/// A layer of one channel in groups of two.
fn pairs(averaging: Averaging) -> BatchNorm<Cpu> {
    let config = BatchNormConfig::new(1).averaging(averaging).ghost_batch(2);
    BatchNorm::new(&Cpu::with_threads(1).unwrap(), config).unwrap()
}

fn column(values: &[f32]) -> Tensor<f32, Cpu> {
    let shape = Shape::channels_first(&[values.len(), 1]).unwrap();
    Tensor::new(&Cpu::with_threads(1).unwrap(), shape, values).unwrap()
}

#[test]
fn running_statistics_follow_each_group() {
    // Means 2 and 5, unbiased variances 2 and 8.
    let x = column(&[1.0, 3.0, 3.0, 7.0]);
    let mut exponential = pairs(Averaging::Exponential { momentum: 0.5 });
    exponential.forward_training(&x).unwrap();
    assert_eq!(running(&exponential), (vec![3.0], vec![4.75], 2)); // (0 + 2)/2 = 1, (1 + 5)/2; (1 + 2)/2 = 1.5, (1.5 + 8)/2
    let mut cumulative = pairs(Averaging::Cumulative);
    cumulative.forward_training(&x).unwrap();
    assert_eq!(running(&cumulative), (vec![3.5], vec![5.0], 2));
}

#[test]
fn deferred_statistics_are_those_of_the_groups() {
    let x = column(&[1.0, 3.0, 3.0, 7.0]);
    let mut at_once = pairs(Averaging::Cumulative);
    at_once.forward_training(&x).unwrap();
    let mut later = pairs(Averaging::Cumulative);
    let (_, pass) = later.forward_training_deferred(&x).unwrap();
    let means: Vec<f32> = pass
        .statistics()
        .iter()
        .map(|of| of.mean().to_vec().unwrap()[0])
        .collect();
    assert_eq!(means, [2.0, 5.0]);
    assert_eq!(running(&later), (vec![0.0], vec![1.0], 0));
    later.follow(pass.statistics()).unwrap();
    assert_eq!(running(&later), running(&at_once));
}

#[test]
fn dx_over_dy_is_the_same() {
    let layer = pairs(Averaging::Cumulative);
    let (_, pass) = layer
        .forward_training_deferred(column(&[1.0, 3.0, 2.0, 7.0, 4.0]))
        .unwrap();
    let mut dy = column(&[1.0, -2.0, 0.5, 3.0, -1.0]);
    let expected = pass.backward(&dy).unwrap().input.to_vec().unwrap();
    pass.backward_in_place(&mut dy, None).unwrap();
    assert_eq!(dy.to_vec().unwrap(), expected);
}

#[test]
fn one_value_that_remains_joins_the_group_before() {
    let mut layer = pairs(Averaging::Cumulative);
    let (_, pass) = layer
        .forward_training(column(&[1.0, 3.0, 3.0, 7.0, 8.0]))
        .unwrap();
    let counts: Vec<usize> = pass
        .statistics()
        .iter()
        .map(batchnorm::BatchStatistics::count)
        .collect();
    assert_eq!(counts, [2, 3]);
    assert_eq!(pass.statistics()[1].mean().to_vec().unwrap(), [6.0]);
}

#[test]
fn other_passes_know_no_groups() {
    let cpu = Cpu::with_threads(1).unwrap();
    let x = column(&[1.0, 3.0, 3.0, 7.0]);
    for averaging in [Averaging::Cumulative, Averaging::Off] {
        let config = BatchNormConfig::new(1).averaging(averaging);
        let plain: BatchNorm<Cpu> = BatchNorm::new(&cpu, config).unwrap();
        let ghost = pairs(averaging);
        let inference =
            |layer: &BatchNorm<Cpu>| layer.forward_inference(&x).unwrap().to_vec().unwrap();
        assert_eq!(inference(&ghost), inference(&plain));
        let frozen = |layer: &BatchNorm<Cpu>| {
            let (y, pass) = layer.forward_frozen(&x).unwrap();
            assert_eq!(pass.statistics().len(), 1);
            (
                y.to_vec().unwrap(),
                pass.backward(&x).unwrap().input.to_vec().unwrap(),
            )
        };
        assert_eq!(frozen(&ghost), frozen(&plain));
    }
}

#[test]
fn groups_as_large_as_the_batch_change_nothing() {
    let cpu = Cpu::with_threads(1).unwrap();
    let x = column(&[1.0, 3.0, 3.0, 7.0]);
    let mut plain: BatchNorm<Cpu> = BatchNorm::new(&cpu, BatchNormConfig::new(1)).unwrap();
    let expected = plain.forward_training(&x).unwrap().0.to_vec().unwrap();
    for size in [4, 5, usize::MAX] {
        let mut ghost: BatchNorm<Cpu> =
            BatchNorm::new(&cpu, BatchNormConfig::new(1).ghost_batch(size)).unwrap();
        assert_eq!(
            ghost.forward_training(&x).unwrap().0.to_vec().unwrap(),
            expected
        );
        assert_eq!(running(&ghost), running(&plain));
    }
}

#[test]
fn an_empty_batch_is_one_group() {
    let mut layer = pairs(Averaging::Exponential { momentum: 0.5 });
    let (y, pass) = layer.forward_training(column(&[])).unwrap();
    assert!(y.shape().is_empty());
    assert_eq!(
        pass.backward(&column(&[]))
            .unwrap()
            .gamma
            .unwrap()
            .to_vec()
            .unwrap(),
        [0.0]
    );
    assert_eq!(running(&layer), (vec![0.0], vec![1.0], 1));
}

#[test]
fn groups_of_one_value_are_refused_and_nothing_changes() {
    let cpu = Cpu::with_threads(1).unwrap();
    let config = BatchNormConfig::new(1).ghost_batch(1);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu, config).unwrap();
    let mut y = column(&[-1.0; 3]);
    let refused = layer.forward_training_into(column(&[1.0, 2.0, 4.0]), None, &mut y);
    assert!(
        matches!(refused, Err(Error::TooFewValues { found: 1, .. })),
        "{refused:?}"
    );
    assert_eq!(y.to_vec().unwrap(), [-1.0; 3]);
    assert_eq!(running(&layer), (vec![0.0], vec![1.0], 0));
    let none = BatchNorm::<Cpu>::new(&cpu, config.ghost_batch(0)).unwrap_err();
    assert_eq!(
        none.to_string(),
        "a ghost batch must be at least 1 sample, got 0 samples"
    );
}

#[test]
fn a_part_that_is_not_there_is_an_error() {
    let mut x = Tensor::new(
        &Device::cpu(),
        Shape::channels_first(&[3, 1]).unwrap(),
        &[1.0f32, 2.0, 3.0],
    )
    .unwrap();
    let part = |range| -> batchnorm::Result<Vec<f32>> {
        Device::cpu().download(Device::subslice(&x.slice(), range)?)
    };
    assert_eq!(part(1..3).unwrap(), [2.0, 3.0]);
    let reversed = std::ops::Range { start: 2, end: 1 };
    for outside in [2..4, 4..4, reversed] {
        let refused = part(outside.clone());
        assert!(
            matches!(refused, Err(Error::Length { found: 3, .. })),
            "{outside:?}: {refused:?}"
        );
    }
    let mut lent = x.slice_mut();
    assert!(Device::subslice_mut(&mut lent, 0..3).is_ok());
    assert!(Device::subslice_mut(&mut lent, 0..4).is_err());
}
