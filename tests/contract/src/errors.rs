//! What a backend refuses, and that it then writes nothing.

use batchnorm::backend::{
    Activation, ActivationBackward, Affine, Backend, Epilogue, GradientSumsMut, InOut,
    Normalization, SavedActivation, StatisticsMut, StatisticsSource,
};
use batchnorm::{Error, Result, Shape};

/// Lengths of every operand; one of them is made wrong at a time.
#[derive(Clone, Copy)]
struct Lengths {
    x: usize,
    y: usize,
    gamma: usize,
    statistics: usize,
    residual: usize,
}

const SENTINEL: f32 = -77.0;

/// Calls forward training and backward with these lengths; asserts that a failing call wrote nothing.
fn call<B: Backend>(backend: &B, shape: &Shape, lengths: Lengths, epsilon: f64) -> [Result<()>; 3] {
    let array = |len: usize, value: f32| backend.upload(&vec![value; len]).unwrap();
    let untouched = |buffer: &B::Buffer<f32>| {
        backend
            .download::<f32>(B::as_slice(buffer))
            .unwrap()
            .iter()
            .all(|&value| value == SENTINEL)
    };
    let x = array(lengths.x, 0.5);
    let gamma = array(lengths.gamma, 1.0);
    let residual = array(lengths.residual, 1.0);
    let mut y = array(lengths.y, SENTINEL);
    let mut statistics = [0; 4].map(|_| array(lengths.statistics, SENTINEL));

    let [mean, mean_low, variance, inv_std] = &mut statistics;
    let out = StatisticsMut {
        mean: B::as_slice_mut(mean),
        mean_low: B::as_slice_mut(mean_low),
        variance: B::as_slice_mut(variance),
        inv_std: B::as_slice_mut(inv_std),
        running: None,
    };
    let affine = Affine {
        gamma: B::as_slice(&gamma),
        beta: B::as_slice(&gamma),
        epsilon,
    };
    let epilogue = Epilogue::of(Activation::None).with_residual(B::as_slice(&residual));
    let training = backend.forward_training::<f32>(
        shape,
        B::as_slice(&x),
        affine,
        epilogue,
        B::as_slice_mut(&mut y),
        out,
    );
    if training.is_err() {
        assert!(untouched(&y) && statistics.iter().all(untouched));
    }

    let with = Normalization {
        mean: B::as_slice(&gamma),
        mean_low: B::as_slice(&gamma),
        inv_std: B::as_slice(&gamma),
        gamma: B::as_slice(&gamma),
        beta: B::as_slice(&gamma),
    };
    y = array(lengths.y, SENTINEL);
    let x_to_y = InOut::Separate(B::as_slice(&x), B::as_slice_mut(&mut y));
    let epilogue = Epilogue::of(Activation::None).with_residual(B::as_slice(&residual));
    let normalized = backend.normalize::<f32>(shape, x_to_y, with, epilogue);
    if normalized.is_err() {
        assert!(untouched(&y));
    }

    y = array(lengths.y, SENTINEL);
    let (mut dgamma, mut dbeta) = (
        array(lengths.statistics, SENTINEL),
        array(lengths.statistics, SENTINEL),
    );
    let mut dresidual = array(lengths.residual, SENTINEL);
    let out = GradientSumsMut {
        gamma: B::as_slice_mut(&mut dgamma),
        beta: B::as_slice_mut(&mut dbeta),
    };
    let dy_to_dx = InOut::Separate(B::as_slice(&x), B::as_slice_mut(&mut y));
    let (activation, source) = (
        ActivationBackward::of(Activation::None),
        StatisticsSource::Batch,
    );
    let dresidual_out = Some(B::as_slice_mut(&mut dresidual));
    let backward = backend.backward::<f32>(
        shape,
        dy_to_dx,
        B::as_slice(&x),
        with,
        source,
        activation,
        dresidual_out,
        out,
    );
    if backward.is_err() {
        assert!([&y, &dgamma, &dbeta, &dresidual].into_iter().all(untouched));
    }
    [training, normalized, backward]
}

pub fn wrong_lengths_are_refused_and_nothing_is_written<B: Backend>(backend: &B) {
    let shape = Shape::channels_first(&[2, 3, 4]).unwrap();
    let right = Lengths {
        x: 24,
        y: 24,
        gamma: 3,
        statistics: 3,
        residual: 24,
    };
    for result in call(backend, &shape, right, 1e-5) {
        result.unwrap();
    }
    let wrong = [
        Lengths { x: 23, ..right },
        Lengths { x: 25, ..right },
        Lengths { y: 23, ..right },
        Lengths { gamma: 4, ..right },
        Lengths {
            residual: 12,
            ..right
        },
    ];
    for lengths in wrong {
        for result in call(backend, &shape, lengths, 1e-5) {
            assert!(matches!(result, Err(Error::Length { .. })), "{result:?}");
        }
    }
    let [training, _, backward] = call(
        backend,
        &shape,
        Lengths {
            statistics: 2,
            ..right
        },
        1e-5,
    );
    assert!(
        matches!(training, Err(Error::Length { .. }))
            && matches!(backward, Err(Error::Length { .. }))
    );
}

pub fn bad_epsilon_is_refused<B: Backend>(backend: &B) {
    let shape = Shape::channels_first(&[2, 3, 4]).unwrap();
    let right = Lengths {
        x: 24,
        y: 24,
        gamma: 3,
        statistics: 3,
        residual: 24,
    };
    for epsilon in [0.0, -1e-5, f64::NAN, f64::INFINITY] {
        let [training, ..] = call(backend, &shape, right, epsilon);
        assert!(
            matches!(training, Err(Error::Epsilon { .. })),
            "{epsilon}: {training:?}"
        );
    }
    let (variance, mut inv_std) = (
        backend.upload(&[4.0f32]).unwrap(),
        backend.zeros::<f32>(1).unwrap(),
    );
    for epsilon in [-1e-5, f64::NAN, f64::INFINITY] {
        let refused = backend.inverse_std::<f32>(
            B::as_slice(&variance),
            epsilon,
            B::as_slice_mut(&mut inv_std),
        );
        assert!(matches!(refused, Err(Error::Epsilon { .. })));
    }
    backend
        .inverse_std::<f32>(B::as_slice(&variance), 0.0, B::as_slice_mut(&mut inv_std))
        .unwrap();
    assert_eq!(
        backend.download::<f32>(B::as_slice(&inv_std)).unwrap(),
        [0.5]
    );
}

pub fn too_few_values_are_refused<B: Backend>(backend: &B) {
    for (batch, values) in [(1, 3), (0, 0)] {
        let shape = Shape::channels_first(&[batch, 3]).unwrap();
        let lengths = Lengths {
            x: values,
            y: values,
            gamma: 3,
            statistics: 3,
            residual: values,
        };
        let [training, normalized, backward] = call(backend, &shape, lengths, 1e-5);
        assert!(
            matches!(training, Err(Error::TooFewValues { .. })),
            "{training:?}"
        );
        assert!(normalized.is_ok() && backward.is_ok());
    }
}

/// Kernels save of an activation what its backward pass needs: a mask for ReLU after a residual, and nothing else.
pub fn what_no_activation_saves_is_refused<B: Backend>(backend: &B) {
    let shape = Shape::channels_first(&[2, 3, 4]).unwrap();
    let x = backend.upload(&[0.5f32; 24]).unwrap();
    let ones = backend.upload(&[1.0f32; 3]).unwrap();
    let mut mask = backend.mask::<f32>(&shape).unwrap();
    let with = Normalization {
        mean: B::as_slice(&ones),
        mean_low: B::as_slice(&ones),
        inv_std: B::as_slice(&ones),
        gamma: B::as_slice(&ones),
        beta: B::as_slice(&ones),
    };
    for (activation, residual, accepted) in [
        (Activation::Relu, true, true),
        (Activation::Relu, false, false),
        (Activation::None, true, false),
    ] {
        let mut y = backend.upload(&[SENTINEL; 24]).unwrap();
        let epilogue = Epilogue {
            activation,
            residual: residual.then(|| B::as_slice(&x)),
            saved: SavedActivation::Mask(&mut mask),
        };
        let x_to_y = InOut::Separate(B::as_slice(&x), B::as_slice_mut(&mut y));
        let found = backend.normalize::<f32>(&shape, x_to_y, with, epilogue);
        assert_eq!(found.is_ok(), accepted, "{activation:?}: {found:?}");
        if let Err(error) = found {
            let y = backend.download::<f32>(B::as_slice(&y)).unwrap();
            assert_eq!(y, [SENTINEL; 24]);
            assert!(error.to_string().contains("Mask(()) for"), "{error}");
        }
    }
    let values = SavedActivation::PreActivation(B::as_slice(&x));
    let (mut dgamma, mut dbeta) = (
        backend.upload(&[SENTINEL; 3]).unwrap(),
        backend.upload(&[SENTINEL; 3]).unwrap(),
    );
    let out = GradientSumsMut {
        gamma: B::as_slice_mut(&mut dgamma),
        beta: B::as_slice_mut(&mut dbeta),
    };
    let backward = ActivationBackward {
        activation: Activation::Relu,
        saved: values,
    };
    let (dy, x) = (B::as_slice(&x), B::as_slice(&x));
    let found = backend.backward_reduce::<f32>(&shape, dy, x, with, backward, out);
    assert!(matches!(found, Err(Error::Value { .. })), "{found:?}");
}
