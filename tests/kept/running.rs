//! What follows a batch of which not all is kept, and what an empty one and one of too little weight are.

use batchnorm::{Averaging, BatchNormConfig, Cpu, Error, Kept, PooledStatistics, Shape};

use crate::{layer, tensor, wave};

fn shape() -> Shape {
    Shape::channels_first(&[2, 1, 4]).unwrap()
}

#[test]
fn the_running_variance_is_corrected_by_the_weight() {
    let cpu = Cpu::with_threads(1).unwrap();
    let x = tensor::<f64>(&cpu, shape(), &[1.0, 3.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]);
    let weights = [0.75, 0.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let kept = Kept::weights(&shape(), &weights).unwrap();
    let config = BatchNormConfig::new(1).averaging(Averaging::Exponential { momentum: 1.0 });
    let mut at_once = layer::<f64>(&cpu, config);
    at_once.forward_training(kept.of(&x)).unwrap();
    let mut deferred = layer::<f64>(&cpu, config);
    let (_, pass) = deferred.forward_training_deferred(kept.of(&x)).unwrap();
    assert_eq!(
        (pass.statistics()[0].count(), pass.statistics()[0].weight()),
        (2, 1.5)
    );
    deferred.follow(pass.statistics()).unwrap();
    for layer in [at_once, deferred] {
        let running = layer.running().unwrap();
        assert_eq!(running.mean().to_vec().unwrap(), [2.0]);
        // The variance is 1, and 1.5/(1.5 − 1) = 3.
        assert_eq!(running.variance().to_vec().unwrap(), [3.0]);
    }
}

#[test]
fn a_batch_that_keeps_nothing_is_an_empty_one() {
    let cpu = Cpu::with_threads(1).unwrap();
    let kept = Kept::lengths(&shape(), &[0, 0]).unwrap();
    let x = tensor::<f32>(&cpu, shape(), &[f64::NAN; 8]);
    for averaging in [
        Averaging::Exponential { momentum: 0.1 },
        Averaging::Cumulative,
    ] {
        let mut layer = layer::<f32>(&cpu, BatchNormConfig::new(1).averaging(averaging));
        let (y, pass) = layer.forward_training(kept.of(&x)).unwrap();
        assert_eq!(y.to_vec().unwrap(), [0.0; 8]);
        assert_eq!(pass.statistics()[0].count(), 0);
        let gradients = pass.backward(&x).unwrap();
        assert_eq!(gradients.input.to_vec().unwrap(), [0.0; 8]);
        assert_eq!(gradients.gamma.unwrap().to_vec().unwrap(), [0.0]);
        assert_eq!(gradients.beta.unwrap().to_vec().unwrap(), [0.0]);
        let running = layer.running().unwrap();
        assert_eq!(running.mean().to_vec().unwrap(), [0.0]);
        assert_eq!(running.variance().to_vec().unwrap(), [1.0]);
        let counted = u64::from(averaging != Averaging::Cumulative);
        assert_eq!(running.num_batches_tracked(), counted);
        assert_eq!(layer.batch_statistics(&kept.of(&x)).unwrap().count(), 0);
        assert_eq!(
            layer
                .forward_inference(&kept.of(&x))
                .unwrap()
                .to_vec()
                .unwrap(),
            [0.0; 8]
        );
    }
}

#[test]
fn a_weight_of_one_or_less_has_no_variance() {
    let cpu = Cpu::with_threads(1).unwrap();
    let x = tensor::<f32>(&cpu, shape(), &wave(8, 1.7, 0.2));
    for weights in [
        [1.0, 0.0, 0.0, 0.0],
        [0.25, 0.0, 0.5, 0.25],
        [0.5, 0.0, 0.0, 0.0],
    ] {
        let mut all = [0.0; 8];
        all[4..].copy_from_slice(&weights);
        let kept = Kept::weights(&shape(), &all).unwrap();
        let mut layer = layer::<f32>(&cpu, BatchNormConfig::new(1));
        let error = layer.forward_training(kept.of(&x)).unwrap_err();
        assert!(matches!(error, Error::TooFewValues { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains(&kept.weight().to_string()), "{message}");
        assert_eq!(layer.running().unwrap().num_batches_tracked(), 0);
        // Given statistics it can have, and it has a mean.
        layer.forward_frozen(kept.of(&x)).unwrap();
        let statistics = layer.batch_statistics(&kept.of(&x)).unwrap();
        assert!(statistics.mean().to_vec().unwrap()[0].is_finite());
        let error = layer.follow(&statistics).unwrap_err();
        assert!(matches!(error, Error::TooFewValues { .. }), "{error}");
        let no_running = BatchNormConfig::new(1).averaging(Averaging::Off);
        let without = crate::layer::<f32>(&cpu, no_running);
        let error = without.forward_inference(&kept.of(&x)).unwrap_err();
        assert!(matches!(error, Error::TooFewValues { .. }), "{error}");
    }
}

#[test]
fn statistics_of_kept_places_can_be_pooled_where_they_are_counted() {
    let cpu = Cpu::with_threads(1).unwrap();
    let layer = layer::<f64>(&cpu, BatchNormConfig::new(1));
    let x = tensor::<f64>(
        &cpu,
        shape(),
        &[1.0, 2.0, 5.0, f64::NAN, 4.0, f64::NAN, 0.0, 0.0],
    );
    let kept = Kept::lengths(&shape(), &[3, 1]).unwrap();
    let mut pooled = PooledStatistics::new(1);
    pooled
        .add(&layer.batch_statistics(&kept.of(&x)).unwrap())
        .unwrap();
    assert_eq!((pooled.count(), pooled.mean().unwrap()), (4, &[3.0][..]));
    let weighted = Kept::weights(&shape(), &[0.5, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]).unwrap();
    let error = pooled
        .add(&layer.batch_statistics(&weighted.of(&x)).unwrap())
        .unwrap_err();
    assert!(matches!(error, Error::Value { .. }), "{error}");
    assert_eq!(pooled.count(), 4);
}
