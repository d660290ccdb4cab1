//! How running statistics follow the batches, and when.

use batchnorm::{
    Averaging, BatchNorm, BatchNormConfig, Cpu, Error, PooledStatistics, RunningVariance,
};
use contract_suite::layers::column;

use crate::{cpu, running};

#[test]
fn exponential_average_weighs_the_new_batch() {
    let mut layer: BatchNorm<Cpu> =
        BatchNorm::new(&cpu(), BatchNormConfig::new(1).momentum(0.25)).unwrap();
    layer.forward_training(&column(&[1.0, 3.0])).unwrap(); // mean 2, unbiased variance 2
    assert_eq!(running(&layer), (0.5, 1.25, 1));
    layer.forward_training(&column(&[4.0, 4.0])).unwrap();
    assert_eq!(running(&layer), (1.375, 0.9375, 2));
}

#[test]
fn momentum_may_be_zero_or_one() {
    for (momentum, expected) in [(0.0, (0.0, 1.0, 1)), (1.0, (2.0, 2.0, 1))] {
        let mut layer: BatchNorm<Cpu> =
            BatchNorm::new(&cpu(), BatchNormConfig::new(1).momentum(momentum)).unwrap();
        layer.forward_training(&column(&[1.0, 3.0])).unwrap();
        assert_eq!(running(&layer), expected);
    }
}

#[test]
fn cumulative_average_is_the_mean_of_all_batches() {
    let config = BatchNormConfig::new(1).averaging(Averaging::Cumulative);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
    for (batch, expected) in [
        ([1.0, 3.0], (2.0, 2.0, 1)),
        ([5.0, 7.0], (4.0, 2.0, 2)),
        ([3.0, 17.0], (6.0, 34.0, 3)),
    ] {
        layer.forward_training(&column(&batch)).unwrap();
        let (mean, variance, batches) = running(&layer);
        assert!(
            (mean - expected.0).abs() < 1e-6 && (variance - expected.1).abs() < 1e-5,
            "{mean} {variance}"
        );
        assert_eq!(batches, expected.2);
    }
}

#[test]
fn population_variance_can_be_followed() {
    let config = BatchNormConfig::new(1)
        .momentum(1.0)
        .running_variance(RunningVariance::Population);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
    layer.forward_training(&column(&[1.0, 3.0])).unwrap();
    assert_eq!(running(&layer), (2.0, 1.0, 1));
}

#[test]
fn reset_forgets_everything() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    layer.forward_training(&column(&[1.0, 3.0])).unwrap();
    layer.running_mut().unwrap().reset().unwrap();
    assert_eq!(running(&layer), (0.0, 1.0, 0));
}

#[test]
fn without_running_statistics_every_pass_uses_the_batch() {
    let config = BatchNormConfig::new(1).averaging(Averaging::Off);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
    let (x, dy) = (column(&[1.0, 3.0, 8.0]), column(&[0.5, -1.0, 2.0]));
    let (y, pass) = layer.forward_training(&x).unwrap();
    assert!(layer.running().is_none());
    assert_eq!(
        layer.forward_inference(&x).unwrap().to_vec().unwrap(),
        y.to_vec().unwrap()
    );
    let (frozen_y, frozen) = layer.forward_frozen(&x).unwrap();
    assert_eq!(frozen_y.to_vec().unwrap(), y.to_vec().unwrap());
    let (a, b) = (pass.backward(&dy).unwrap(), frozen.backward(&dy).unwrap());
    assert_eq!(a.input.to_vec().unwrap(), b.input.to_vec().unwrap());
    assert!(matches!(
        layer.forward_inference(&column(&[1.0])),
        Err(Error::TooFewValues { .. })
    ));
}

#[test]
fn recomputing_a_batch_counts_it_once() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    let x = column(&[1.0, 3.0]);
    let (first, _) = layer.forward_training(&x).unwrap();
    let after = running(&layer);
    let (again, pass) = layer.forward_training_deferred(&x).unwrap();
    assert_eq!(first.to_vec().unwrap(), again.to_vec().unwrap());
    pass.backward(&x).unwrap();
    assert_eq!(running(&layer), after);
}

#[test]
fn deferred_statistics_follow_when_they_are_committed() {
    let (mut now, mut later): (BatchNorm<Cpu>, BatchNorm<Cpu>) = [(); 2]
        .map(|()| BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap())
        .into();
    let x = column(&[1.0, 3.0, -4.0]);
    now.forward_training(&x).unwrap();
    let (_, pass) = later.forward_training_deferred(&x).unwrap();
    assert_eq!(running(&later), (0.0, 1.0, 0));
    later.follow(pass.statistics()).unwrap();
    assert_eq!(running(&later), running(&now));
}

#[test]
fn gathered_batches_follow_as_one() {
    let mut layer: BatchNorm<Cpu> =
        BatchNorm::new(&cpu(), BatchNormConfig::new(1).momentum(1.0)).unwrap();
    let mut pooled = PooledStatistics::new(1);
    for batch in [&[1.0, 2.0][..], &[3.0, 5.0, 9.0]] {
        let x = column(batch);
        let (_, pass) = layer.forward_training_deferred(&x).unwrap();
        pooled.add(pass.statistics()).unwrap();
    }
    layer
        .follow(&pooled.to_batch(&cpu(), 1e-5).unwrap())
        .unwrap();
    assert_eq!(running(&layer), (4.0, 10.0, 1)); // of 1, 2, 3, 5, 9
}

#[test]
fn precise_statistics_are_those_of_the_whole_data_set() {
    let data: Vec<f32> = (0..1000u16)
        .map(|i| f32::from(i % 37) * 0.37 - 3.0 + f32::from(i) * 0.01)
        .collect();
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    layer.forward_training(&column(&data[..10])).unwrap();
    let mut pooled = PooledStatistics::new(1);
    for batch in [&data[..7], &data[7..8], &data[8..600], &data[600..]] {
        pooled
            .add(&layer.batch_statistics(&column(batch)).unwrap())
            .unwrap();
    }
    layer
        .running_mut()
        .unwrap()
        .adopt(&pooled, RunningVariance::Unbiased)
        .unwrap();
    let mean = data.iter().map(|&x| f64::from(x)).sum::<f64>() / 1000.0;
    let variance = data
        .iter()
        .map(|&x| (f64::from(x) - mean).powi(2))
        .sum::<f64>()
        / 999.0;
    let (found_mean, found_variance, batches) = running(&layer);
    assert!(
        (f64::from(found_mean) - mean).abs() < 1e-6
            && (f64::from(found_variance) / variance - 1.0).abs() < 1e-6
    );
    assert_eq!(batches, 1);
    let nothing = PooledStatistics::new(1);
    let refused = layer
        .running_mut()
        .unwrap()
        .adopt(&nothing, RunningVariance::Unbiased);
    assert!(matches!(refused, Err(Error::TooFewValues { .. })));
}

/// An average of no batches is replaced by the next one.
#[test]
fn a_cumulative_average_adopts_statistics_as_those_of_some_batches() {
    let config = BatchNormConfig::new(1).averaging(Averaging::Cumulative);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
    let pooled = PooledStatistics::from_parts(40, &[8.0], &[4.0]).unwrap();
    let population = RunningVariance::Population;
    let adopting = layer.running_mut().unwrap();
    for refused in [
        adopting.adopt(&pooled, population),
        adopting.adopt_as_batches(&pooled, population, 0),
    ] {
        let message = refused.unwrap_err().to_string();
        assert!(
            message.starts_with(
                "the number of batches that a cumulative average adopts must be at least 1"
            ),
            "{message}"
        );
    }
    assert_eq!(running(&layer), (0.0, 1.0, 0));
    let adopting = layer.running_mut().unwrap();
    adopting.adopt_as_batches(&pooled, population, 3).unwrap();
    assert_eq!(running(&layer), (8.0, 4.0, 3));
    layer.forward_training(&column(&[-1.0, 1.0])).unwrap(); // mean 0, unbiased variance 2
    assert_eq!(running(&layer), (6.0, 3.5, 4));
    // What is tracked already goes on to be what weighs.
    let adopting = layer.running_mut().unwrap();
    adopting.adopt(&pooled, population).unwrap();
    assert_eq!(running(&layer), (8.0, 4.0, 4));
}
