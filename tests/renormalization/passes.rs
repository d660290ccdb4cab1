//! When a batch is renormalized, and what stays as it is.

use batchnorm::backend::Backend;
use batchnorm::{
    Activation, Averaging, BatchNorm, BatchNormConfig, Cpu, Device, Element, Error,
    Renormalization, RenormalizationSchedule, Shape,
};
use contract_suite::layers::running;
use half::bf16;

use crate::{Values, layer, tensor, values, wave};

const LIMITS: Renormalization = Renormalization::new(1.3, 0.4);

fn config() -> BatchNormConfig {
    BatchNormConfig::new(3).activation(Activation::Relu)
}

fn shape() -> Shape {
    Shape::channels_first(&[4, 3, 7]).unwrap()
}

/// A training step.
fn step<T: Element, B: Backend>(layer: &mut BatchNorm<B, T::Compute>) -> Values<T> {
    let backend = layer.backend().clone();
    let x = tensor::<T, B>(&backend, shape(), &wave(shape().len(), 1.7, 0.2));
    let dy = tensor::<T, B>(&backend, shape(), &wave(shape().len(), 0.9, 2.3));
    let (y, pass) = layer.forward_training(&x).unwrap();
    let gradients = pass.backward(&dy).unwrap();
    values(&y, gradients)
}

#[test]
fn limits_of_nothing_are_plain_batch_norm() {
    fn check<T: Element, B: Backend>(backend: &B) {
        let mut plain = layer::<T, B>(backend, config());
        let mut off = layer::<T, B>(backend, config().renormalization(Renormalization::OFF));
        let mut set = layer::<T, B>(backend, config().renormalization(LIMITS));
        let expected = step::<T, B>(&mut plain);
        assert_eq!(step::<T, B>(&mut off), expected);
        set.set_renormalization(None).unwrap();
        assert_eq!(step::<T, B>(&mut set), expected);
        assert_eq!(running(&off), running(&plain));
        set.set_renormalization(LIMITS).unwrap();
        plain.set_renormalization(LIMITS).unwrap();
        let renormalized = step::<T, B>(&mut set);
        assert_ne!(renormalized, step::<T, B>(&mut off));
        assert_eq!(renormalized, step::<T, B>(&mut plain));
    }
    let cpu = Cpu::with_threads(1).unwrap();
    check::<f32, _>(&cpu);
    check::<bf16, _>(&cpu);
    check::<f64, _>(&cpu);
    check::<f32, _>(&Device::cpu());
}

#[test]
fn without_a_limit_reached_y_is_that_of_the_running_statistics() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut layer = layer::<f64, _>(
        &cpu,
        config().renormalization(Renormalization::new(1e3, 1e3)),
    );
    let x = tensor::<f64, _>(&cpu, shape(), &wave(shape().len(), 1.7, 0.2));
    let inferred = layer.forward_inference(&x).unwrap().to_vec().unwrap();
    let trained = layer.forward_training(&x).unwrap().0.to_vec().unwrap();
    for (trained, inferred) in trained.iter().zip(&inferred) {
        assert!((trained - inferred).abs() < 1e-13, "{trained} {inferred}");
    }
}

#[test]
fn passes_without_batch_statistics_know_nothing_of_it() {
    let cpu = Cpu::with_threads(1).unwrap();
    let plain = layer::<f32, _>(&cpu, config());
    let renormalized = layer::<f32, _>(&cpu, config().renormalization(LIMITS));
    let x = tensor::<f32, _>(&cpu, shape(), &wave(shape().len(), 1.7, 0.2));
    let inferred = |layer: &BatchNorm<Cpu>| layer.forward_inference(&x).unwrap().to_vec().unwrap();
    assert_eq!(inferred(&renormalized), inferred(&plain));
    let frozen = |layer: &BatchNorm<Cpu>| {
        let (y, pass) = layer.forward_frozen(&x).unwrap();
        values(&y, pass.backward(&x).unwrap())
    };
    assert_eq!(frozen(&renormalized), frozen(&plain));
}

/// A deferred pass is renormalized against the statistics that there are, and followed later.
#[test]
fn deferred_is_the_same() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut at_once = layer::<f32, _>(&cpu, config().renormalization(LIMITS));
    let mut later = at_once.clone();
    let x = tensor::<f32, _>(&cpu, shape(), &wave(shape().len(), 1.7, 0.2));
    let (expected, _) = at_once.forward_training(&x).unwrap();
    let before = running(&later);
    let (found, pass) = later.forward_training_deferred(&x).unwrap();
    assert_eq!(running(&later), before);
    later.follow(pass.statistics()).unwrap();
    assert_eq!(found.to_vec().unwrap(), expected.to_vec().unwrap());
    assert_eq!(running(&later), running(&at_once));
}

#[test]
fn an_empty_batch_is_none() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut layer = layer::<f32, _>(&cpu, config().renormalization(LIMITS));
    let (mean, variance, batches) = running(&layer);
    let shape = Shape::channels_first(&[0, 3, 7]).unwrap();
    let x = tensor::<f32, _>(&cpu, shape, &[]);
    let (y, pass) = layer.forward_training(&x).unwrap();
    let (y, dx, dgamma, dbeta) = values(&y, pass.backward(&x).unwrap());
    assert_eq!((y.len(), dx.len()), (0, 0));
    assert_eq!((dgamma, dbeta), (vec![0.0; 3], vec![0.0; 3]));
    assert_eq!(running(&layer), (mean, variance, batches + 1));
}

/// NaN stays in its channel, and a γ so large that γ·R is beyond the type makes no NaN of a value at the mean.
#[test]
fn values_at_the_edge() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut poisoned = layer::<f32, _>(&cpu, config().renormalization(LIMITS));
    let mut values = wave(shape().len(), 1.7, 0.2);
    values[shape().index(2, 1, 3)] = f64::NAN;
    let x = tensor::<f32, _>(&cpu, shape(), &values);
    let y = poisoned.forward_training(&x).unwrap().0.to_vec().unwrap();
    for n in 0..4 {
        for s in 0..7 {
            for c in 0..3 {
                assert_eq!(y[shape().index(n, c, s)].is_nan(), c == 1);
            }
        }
    }
    let config = BatchNormConfig::new(1).renormalization(Renormalization::new(1e6, 0.0));
    let mut large = BatchNorm::new(&cpu, config).unwrap();
    large.gamma_mut().unwrap().set(&[3e38]).unwrap();
    large.running_mut().unwrap().set(&[0.0], &[0.0], 1).unwrap();
    let column = Shape::channels_first(&[3, 1]).unwrap();
    let x = tensor::<f32, _>(&cpu, column, &[-1.0, 0.0, 1.0]);
    let y = large.forward_training(&x).unwrap().0.to_vec().unwrap();
    assert_eq!(y, [f32::NEG_INFINITY, 0.0, f32::INFINITY]);
}

#[test]
fn what_is_refused_changes_nothing() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut layer = layer::<f32, _>(&cpu, config().renormalization(LIMITS));
    for (r_max, d_max) in [
        (0.5, 0.0),
        (f64::NAN, 0.0),
        (f64::INFINITY, 0.0),
        (1.0, -1.0),
        (1.0, f64::NAN),
        (1.0, f64::INFINITY),
    ] {
        let limits = Renormalization::new(r_max, d_max);
        let refused = layer.set_renormalization(limits);
        assert!(matches!(refused, Err(Error::Value { .. })), "{refused:?}");
        let refused = BatchNorm::<_, f32>::with_compute(&cpu, config().renormalization(limits));
        assert!(matches!(refused, Err(Error::Value { .. })), "{refused:?}");
    }
    assert_eq!(layer.config().renormalization_limits(), Some(LIMITS));
    let without = config().averaging(Averaging::Off);
    let refused = BatchNorm::new(&cpu, without.renormalization(LIMITS)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the averaging of a layer with renormalization must be exponential or cumulative: batches are renormalized against \
         running statistics, got no running statistics"
    );
    let mut layer = BatchNorm::new(&cpu, without).unwrap();
    assert!(layer.set_renormalization(LIMITS).is_err());
    assert_eq!(*layer.config(), without);
}

#[test]
fn a_layer_says_its_limits() {
    let schedule = RenormalizationSchedule::of_paper();
    let config = BatchNormConfig::new(3).renormalization(schedule.at(100_000));
    assert_eq!(
        config.to_string(),
        "3, epsilon=1e-5, momentum=0.1, renormalization(r_max=3, d_max=5)"
    );
}

/// One channel, by hand.
#[test]
fn by_hand() {
    let cpu = Cpu::with_threads(1).unwrap();
    let config = BatchNormConfig::new(1)
        .epsilon(1e-30)
        .renormalization(Renormalization::new(2.0, 0.75));
    let mut layer = BatchNorm::<_, f64>::with_compute(&cpu, config).unwrap();
    layer.gamma_mut().unwrap().set(&[10.0]).unwrap();
    layer.beta_mut().unwrap().set(&[1.0]).unwrap();
    // The batch: mean 4, deviation 3. R = 3/1 is clipped to 2, D = (4 − 3.5)/1 = 0.5 is not clipped.
    layer.running_mut().unwrap().set(&[3.5], &[1.0], 1).unwrap();
    let column = Shape::channels_first(&[2, 1]).unwrap();
    let x = tensor::<f64, _>(&cpu, column, &[1.0, 7.0]);
    let (y, pass) = layer.forward_training(&x).unwrap();
    let close = |found: &[f64], expected: &[f64]| {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-13, "{found} {expected}");
        }
    };
    close(&y.to_vec().unwrap(), &[-14.0, 26.0]); // 10·(∓1·2 + 0.5) + 1
    let dy = tensor::<f64, _>(&cpu, column, &[1.0, 4.0]);
    let gradients = pass.backward(&dy).unwrap();
    close(&gradients.gamma.unwrap().to_vec().unwrap(), &[8.5]); // 2·(4 − 1) + 0.5·(4 + 1)
    close(&gradients.beta.unwrap().to_vec().unwrap(), &[5.0]);
}
