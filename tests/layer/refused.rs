//! What is refused, and that nothing has changed then.

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Device, Error, Shape, Tensor};
use contract_suite::layers::column;

use crate::{cpu, running};

/// γ and β.
type Parameters = [Option<Vec<f32>>; 2];

/// Everything that a layer holds.
fn state(layer: &BatchNorm<Cpu>) -> (Parameters, (f32, f32, u64)) {
    let array = |array: Option<&batchnorm::ChannelArray<f32, Cpu>>| {
        array.map(|array| array.to_vec().unwrap())
    };
    ([array(layer.gamma()), array(layer.beta())], running(layer))
}

#[test]
fn a_refused_call_leaves_the_layer_as_it_was() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    layer.forward_training(&column(&[1.0, 3.0])).unwrap();
    let before = state(&layer);
    let other = Tensor::new(
        &cpu(),
        Shape::channels_first(&[2, 2]).unwrap(),
        &[1.0f32; 4],
    )
    .unwrap();
    let mut short = column(&[-77.0]);
    assert!(matches!(
        layer.forward_training(&other),
        Err(Error::Channels {
            found: 2,
            needed: 1
        })
    ));
    assert!(matches!(
        layer.forward_inference(&other),
        Err(Error::Channels { .. })
    ));
    assert!(matches!(
        layer.forward_frozen(&other),
        Err(Error::Channels { .. })
    ));
    assert!(matches!(
        layer.batch_statistics(&other),
        Err(Error::Channels { .. })
    ));
    assert!(matches!(
        layer.forward_training(&column(&[1.0])),
        Err(Error::TooFewValues { found: 1, .. })
    ));
    let x = column(&[1.0, 3.0]);
    let mismatched = layer.forward_training_into(&x, None, &mut short);
    assert!(matches!(
        mismatched,
        Err(Error::ShapeMismatch { what: "y", .. })
    ));
    assert_eq!(short.to_vec().unwrap(), [-77.0]);
    let residual = layer.forward_training_add(&x, &column(&[1.0]));
    assert!(matches!(
        residual,
        Err(Error::ShapeMismatch {
            what: "the residual",
            ..
        })
    ));
    assert!(matches!(
        layer.gamma_mut().unwrap().set(&[1.0, 2.0]),
        Err(Error::Length { .. })
    ));
    assert!(matches!(
        layer.running_mut().unwrap().set(&[1.0], &[1.0, 2.0], 7),
        Err(Error::Length { .. })
    ));
    let foreign: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(2)).unwrap();
    let statistics = foreign.batch_statistics(&other).unwrap();
    assert!(matches!(
        layer.follow(&statistics),
        Err(Error::Channels { .. })
    ));
    assert_eq!(state(&layer), before);
}

#[test]
fn a_mismatched_gradient_is_refused() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    let x = column(&[1.0, 3.0]);
    let (_, pass) = layer.forward_training(&x).unwrap();
    let mut dx = column(&[-77.0, -77.0]);
    assert!(matches!(
        pass.backward(&column(&[1.0; 3])),
        Err(Error::ShapeMismatch { what: "dy", .. })
    ));
    assert!(matches!(
        pass.backward_into(&column(&[1.0; 3]), &mut dx, None),
        Err(Error::ShapeMismatch { .. })
    ));
    let mut dresidual = column(&[0.0, 0.0]);
    let refused = pass.backward_into(&x, &mut dx, Some(&mut dresidual));
    assert!(matches!(refused, Err(Error::Residual { .. })));
    assert_eq!(dx.to_vec().unwrap(), [-77.0, -77.0]);
}

#[test]
fn settings_are_checked() {
    let new = |config| BatchNorm::<Cpu>::new(&cpu(), config).map(|_| ());
    assert!(matches!(
        new(BatchNormConfig::new(0)),
        Err(Error::NoChannels)
    ));
    for epsilon in [f64::NAN, -1e-5, f64::INFINITY] {
        assert!(matches!(
            new(BatchNormConfig::new(1).epsilon(epsilon)),
            Err(Error::Epsilon { .. })
        ));
    }
    for momentum in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        assert!(matches!(
            new(BatchNormConfig::new(1).momentum(momentum)),
            Err(Error::Momentum { .. })
        ));
    }
    // Zero serves for inference, and not for batch statistics.
    let mut layer: BatchNorm<Cpu> =
        BatchNorm::new(&cpu(), BatchNormConfig::new(1).epsilon(0.0)).unwrap();
    let x = column(&[1.0, 3.0]);
    assert_eq!(
        layer.forward_inference(&x).unwrap().to_vec().unwrap(),
        [1.0, 3.0]
    );
    assert!(matches!(
        layer.forward_training(&x),
        Err(Error::Epsilon { .. })
    ));
    assert_eq!(running(&layer), (0.0, 1.0, 0));
}

#[test]
fn shapes_are_checked() {
    assert!(matches!(
        Shape::channels_first(&[4]),
        Err(Error::Rank { found: 1, .. })
    ));
    assert!(matches!(
        Shape::channels_first(&[4, 0]),
        Err(Error::ZeroDimension { axis: 1, .. })
    ));
    assert!(matches!(
        Shape::channels_last(&[4, 3, 0]),
        Err(Error::ZeroDimension { axis: 2, .. })
    ));
    let huge = [usize::MAX / 2, 3, 5];
    assert!(matches!(
        Shape::channels_first(&huge),
        Err(Error::ShapeOverflow { .. })
    ));
    assert!(matches!(
        Shape::channels_first(&[0, usize::MAX, 2]),
        Err(Error::ShapeOverflow { .. })
    ));
    for zeros in [[0, 0, usize::MAX, 2], [2, 2, 0, usize::MAX]] {
        assert!(matches!(
            Shape::channels_first(&zeros),
            Err(Error::ZeroDimension { .. } | Error::ShapeOverflow { .. })
        ));
    }
    let shape = Shape::channels_first(&[2, 3]).unwrap();
    assert!(matches!(
        Tensor::new(&cpu(), shape, &[1.0f32; 5]),
        Err(Error::Length {
            found: 5,
            needed: 6,
            ..
        })
    ));
    // A machine of 32 bits may have the room for every shape that there is.
    if let Ok(sample) = usize::try_from(1u64 << 40) {
        let enormous = Shape::channels_first(&[sample, 1 << 19]).unwrap();
        assert!(matches!(
            Tensor::<f32, Cpu>::zeros(&cpu(), enormous),
            Err(Error::OutOfMemory { .. })
        ));
    }
}

#[test]
fn absent_devices_and_levels_are_errors() {
    assert!(matches!(Cpu::with_threads(0), Err(Error::Threads { .. })));
    let foreign = if cfg!(target_arch = "x86_64") {
        batchnorm::Level::Neon
    } else {
        batchnorm::Level::Avx2
    };
    assert!(matches!(
        cpu().at_level(foreign),
        Err(Error::LevelUnavailable { .. })
    ));
    if let Err(error) = Device::cuda(0) {
        let expected = if cfg!(feature = "cuda") {
            matches!(
                error,
                Error::KernelsNotBuilt { .. }
                    | Error::NoDriver { .. }
                    | Error::DriverTooOld { .. }
                    | Error::NoSuchDevice { .. }
            )
        } else {
            matches!(error, Error::DeviceUnavailable { .. })
        };
        assert!(expected, "{error}");
    }
}
