//! Wrong lengths of what second derivatives are given and write: refused, and nothing is written.

use batchnorm::backend::{
    Activation, ActivationBackward, Backend, GradientsOfGradients, Normalization,
    SecondGradientsMut, StatisticsSource,
};
use batchnorm::{Error, Result, Shape};

const SENTINEL: f32 = -77.0;

/// What errors call each operand like x, what is written last.
const LIKE_X: [&str; 6] = [
    "dy",
    "x",
    "the gradient of dx",
    "the gradient of the residual's gradient",
    "the second gradient of dy",
    "the second gradient of x",
];

/// What errors call each operand with a value per channel, what is written last.
const PER_CHANNEL: [&str; 8] = [
    "mean",
    "mean_low",
    "inv_std",
    "gamma",
    "beta",
    "the gradient of dgamma",
    "the gradient of dbeta",
    "the second gradient of gamma",
];

/// The step with operands of these lengths, in the order of their names. What it refuses, it must not have written.
fn call<B: Backend>(backend: &B, like_x: [usize; 6], per_channel: [usize; 8]) -> Result<()> {
    let shape = Shape::channels_first(&[2, 3, 4]).unwrap();
    let array = |len: usize, value: f32| backend.upload(&vec![value; len]).unwrap();
    let [dy, x, of_input, of_residual, mut dy_out, mut x_out] =
        std::array::from_fn(|i| array(like_x[i], if i < 4 { 0.5 } else { SENTINEL }));
    let [
        mean,
        mean_low,
        inv_std,
        gamma,
        beta,
        of_gamma,
        of_beta,
        mut gamma_out,
    ] = std::array::from_fn(|i| array(per_channel[i], if i < 7 { 1.0 } else { SENTINEL }));
    let with = Normalization {
        mean: B::as_slice(&mean),
        mean_low: B::as_slice(&mean_low),
        inv_std: B::as_slice(&inv_std),
        gamma: B::as_slice(&gamma),
        beta: B::as_slice(&beta),
    };
    let of = GradientsOfGradients {
        input: Some(B::as_slice::<f32>(&of_input)),
        residual: Some(B::as_slice::<f32>(&of_residual)),
        gamma: Some(B::as_slice::<f32>(&of_gamma)),
        beta: Some(B::as_slice::<f32>(&of_beta)),
    };
    let out = SecondGradientsMut {
        dy: B::as_slice_mut(&mut dy_out),
        x: B::as_slice_mut(&mut x_out),
        gamma: B::as_slice_mut(&mut gamma_out),
    };
    let result = backend.double_backward::<f32>(
        &shape,
        B::as_slice(&dy),
        B::as_slice(&x),
        with,
        StatisticsSource::Batch,
        ActivationBackward::of(Activation::None),
        of,
        out,
    );
    if result.is_err() {
        for written in [&dy_out, &x_out, &gamma_out] {
            let values = backend.download::<f32>(B::as_slice(written)).unwrap();
            assert!(values.iter().all(|&value| value == SENTINEL), "{result:?}");
        }
    }
    result
}

/// Each operand by itself, too short and too long: the error names it.
pub fn wrong_lengths_of_second_derivatives_are_refused<B: Backend>(backend: &B) {
    let (like_x, per_channel) = ([24; 6], [3; 8]);
    match call(backend, like_x, per_channel) {
        Ok(())
        | Err(Error::Value {
            what: "the device of second derivatives",
            ..
        }) => {}
        other => panic!("right lengths: {other:?}"),
    }
    let refused = |result: Result<()>, name: &str, found: usize, needed: usize| match result {
        Err(Error::Length {
            what,
            found: of_error,
            needed: by_error,
        }) => assert_eq!((what, of_error, by_error), (name, found, needed)),
        other => panic!("{name} of {found}: {other:?}"),
    };
    for (i, name) in LIKE_X.into_iter().enumerate() {
        for len in [0, 23, 25] {
            let mut wrong = like_x;
            wrong[i] = len;
            refused(call(backend, wrong, per_channel), name, len, 24);
        }
    }
    for (i, name) in PER_CHANNEL.into_iter().enumerate() {
        for len in [0, 2, 4] {
            let mut wrong = per_channel;
            wrong[i] = len;
            refused(call(backend, like_x, wrong), name, len, 3);
        }
    }
}
