//! Which groups there are, which statistics follow them, and what is refused.

use batchnorm::backend::Memory;
use batchnorm::{Averaging, BatchNorm, BatchNormConfig, Cpu, Device, Error, Shape, Tensor};
use contract_suite::layers::{column, running};

/// A layer of one channel in groups of two.
fn pairs(averaging: Averaging) -> BatchNorm<Cpu> {
    let config = BatchNormConfig::new(1).averaging(averaging).ghost_batch(2);
    BatchNorm::new(&Cpu::with_threads(1).unwrap(), config).unwrap()
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
