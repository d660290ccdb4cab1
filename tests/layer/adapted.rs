//! What adapted inference refuses, and where it does not adapt.

use batchnorm::{
    Adaptation, Averaging, BatchNorm, BatchNormConfig, Cpu, Error, RunningVariance, Shape, Tensor,
};
use contract_suite::layers::column;

use crate::{cpu, running};

fn layer(config: BatchNormConfig) -> BatchNorm<Cpu> {
    BatchNorm::new(&cpu(), config).unwrap()
}

#[test]
fn weights_are_from_zero_to_one() {
    let layer = layer(BatchNormConfig::new(1));
    for adaptation in [
        Adaptation::Weight(-0.1),
        Adaptation::Weight(1.1),
        Adaptation::Weight(f64::NAN),
        Adaptation::Prior { samples: -1.0 },
        Adaptation::Prior {
            samples: f64::INFINITY,
        },
        Adaptation::Prior { samples: f64::NAN },
    ] {
        let mut y = column(&[-77.0; 2]);
        let error = layer.forward_adapted_into(&column(&[1.0, 3.0]), None, &mut y, adaptation);
        assert!(
            matches!(error, Err(Error::Value { .. })),
            "{adaptation:?}: {error:?}"
        );
        assert_eq!(y.to_vec().unwrap(), [-77.0; 2]);
    }
}

#[test]
fn a_prior_is_a_weight_by_the_number_of_samples() {
    let prior = Adaptation::Prior { samples: 16.0 };
    let weights: Vec<f64> = [0, 1, 16, 48]
        .map(|samples| prior.weight(samples).unwrap())
        .to_vec();
    assert_eq!(weights, [0.0, 1.0 / 17.0, 0.5, 0.75]);
    let nothing = Adaptation::Prior { samples: 0.0 };
    assert_eq!(
        [0, 3].map(|samples| nothing.weight(samples).unwrap()),
        [0.0, 1.0]
    );
}

#[test]
fn what_cannot_adapt_is_refused() {
    let half = Adaptation::Weight(0.5);
    let without = layer(BatchNormConfig::new(1).averaging(Averaging::Off));
    assert!(matches!(
        without.forward_adapted(&column(&[1.0, 3.0]), half),
        Err(Error::NoRunningStatistics {
            operation: "adapted inference"
        })
    ));
    let plain = layer(BatchNormConfig::new(1));
    assert!(matches!(
        plain.forward_adapted(&column(&[1.0]), half),
        Err(Error::TooFewValues { found: 1, .. })
    ));
    assert_eq!(
        plain
            .forward_adapted(&column(&[]), half)
            .unwrap()
            .shape()
            .batch(),
        0
    );
    let other = Tensor::new(
        &cpu(),
        Shape::channels_first(&[2, 2]).unwrap(),
        &[1.0f32; 4],
    );
    assert!(matches!(
        plain.forward_adapted(&other.unwrap(), half),
        Err(Error::Channels { .. })
    ));
    let mut short = column(&[-77.0]);
    assert!(matches!(
        plain.forward_adapted_into(&column(&[1.0, 3.0]), None, &mut short, half),
        Err(Error::ShapeMismatch { what: "y", .. })
    ));
    let without_epsilon = layer(BatchNormConfig::new(1).epsilon(0.0));
    assert!(matches!(
        without_epsilon.forward_adapted(&column(&[1.0, 3.0]), half),
        Err(Error::Epsilon { .. })
    ));
    assert_eq!(running(&plain), (0.0, 1.0, 0));
}

/// By whichever estimate the running variance follows: the batch's is that of its values alone.
#[test]
fn the_variance_of_the_batch_is_biased() {
    for estimate in [RunningVariance::Unbiased, RunningVariance::Population] {
        let layer = layer(
            BatchNormConfig::new(1)
                .epsilon(1e-12)
                .running_variance(estimate),
        );
        let y = layer.forward_adapted(&column(&[3.0, 5.0]), Adaptation::Weight(1.0));
        assert_eq!(y.unwrap().to_vec().unwrap(), [-1.0, 1.0]);
    }
}

#[test]
fn a_channel_that_is_not_finite_does_not_adapt_where_it_is_kept_finite() {
    let x = Tensor::new(
        &cpu(),
        Shape::channels_first(&[2, 2]).unwrap(),
        &[3.0f32, 1.0, 5.0, f32::NAN],
    )
    .unwrap();
    let adapted = |config: BatchNormConfig| {
        let y = layer(config).forward_adapted(&x, Adaptation::Weight(1.0));
        y.unwrap().to_vec().unwrap()
    };
    let plain = adapted(BatchNormConfig::new(2).epsilon(1e-12));
    assert!(plain[1].is_nan() && plain[3].is_nan());
    let kept = adapted(
        BatchNormConfig::new(2)
            .epsilon(1e-12)
            .keep_running_finite(true),
    );
    assert_eq!(kept[..3], [-1.0, 1.0, 1.0]);
}
