//! Ranks whose passes are in their devices' streams, with the merge on the device: the bits of those whose merge is on the host, which
//! the contract suite holds against the textbook. Each rank is a device of its own.

use std::thread;
use std::time::Duration;

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Element, Error, Gradients, Renormalization, Result,
    Shape, SyncBatchNorm, Tensor, ThreadRank, Transport,
};
use batchnorm_simt::{Simt, SimtDevice, SimtDriver};
use contract_suite::data::{Random, typed};
use contract_suite::ranks::bits;
use contract_suite::shapes;
use half::{bf16, f16};

const LIMIT: Duration = Duration::from_secs(500);

/// What is the same in a layer of every rank.
#[derive(Debug, Clone, Copy, Default)]
struct Settings {
    activation: Activation,
    has_residual: bool,
    sums_gradients: bool,
    is_renormalized: bool,
}

/// Bits: of statistics, running statistics, y, dx, the residual's gradient, dγ and dβ.
type Answer = Vec<Vec<u64>>;

fn layer<T: Element>(
    simt: &Simt,
    channels: usize,
    settings: Settings,
) -> Result<BatchNorm<Simt, T::Compute>> {
    let mut config = BatchNormConfig::new(channels).activation(settings.activation);
    if settings.is_renormalized {
        config = config.renormalization(Renormalization::new(3.0, 5.0));
    }
    let mut layer = BatchNorm::with_compute(simt, config)?;
    let mut random = Random::new(8);
    let mut some =
        || typed::<T::Compute>(&(0..channels).map(|_| random.normal()).collect::<Vec<_>>());
    layer.gamma_mut().unwrap().set(&some())?;
    layer.beta_mut().unwrap().set(&some())?;
    Ok(layer)
}

/// Two batches through a layer of one rank, by the host or in the stream.
fn answer<T: Element>(
    rank: &ThreadRank,
    simt: &Simt,
    [x, dy, residual]: [&Tensor<T, Simt>; 3],
    settings: Settings,
    in_stream: bool,
) -> Result<Answer> {
    let layer = layer::<T>(simt, x.shape().channels(), settings)?;
    let mut layer = if settings.sums_gradients {
        SyncBatchNorm::with_summed_gradients(layer, rank)?
    } else {
        SyncBatchNorm::new(layer, rank)?
    };
    let added = settings.has_residual.then_some(residual as _);
    let mut y = Tensor::zeros(simt, x.shape())?;
    let split = layer.agree_on_split(&x.shape())?;
    let mut answer = vec![];
    for _ in 0..2 {
        let (statistics, gradients): (_, Gradients<T, Simt>) = if in_stream {
            let pass = layer.forward_training_in_stream_into(x, added, &mut y, &split)?;
            let gradients = pass.backward(dy)?;
            (pass.statistics()[0].try_clone()?, gradients)
        } else {
            let pass = layer.forward_training_into(x, added, &mut y)?;
            let gradients = pass.backward(dy)?;
            (pass.statistics()[0].try_clone()?, gradients)
        };
        let running = layer.layer().running().unwrap();
        for array in [
            statistics.mean(),
            statistics.mean_low(),
            statistics.variance(),
            statistics.inv_std(),
            running.mean(),
            running.variance(),
            &gradients.gamma.unwrap(),
            &gradients.beta.unwrap(),
        ] {
            answer.push(bits(&array.to_vec()?));
        }
        answer.push(vec![
            statistics.count() as u64,
            running.num_batches_tracked(),
        ]);
        answer.push(bits(&y.to_vec()?));
        answer.push(bits(&gradients.input.to_vec()?));
        answer.extend(
            gradients
                .residual
                .map(|array| bits(&array.to_vec().unwrap())),
        );
    }
    Ok(answer)
}

/// Whether the two are the same on ranks of so many samples, each with the values that `value` makes of random ones.
fn check<T: Element>(
    like: Shape,
    samples: &[usize],
    settings: Settings,
    value: impl Fn(usize, f64) -> f64 + Sync,
) {
    let device = || Simt::on(SimtDriver::new(SimtDevice::hopper()).unwrap());
    check_on::<T>(device, like, samples, settings, value);
}

/// Whether they are on a device that others have too.
pub(crate) fn check_shared<T: Element>(simt: &Simt) {
    let shape = Shape::channels_first(&[1, 3, 5]).unwrap();
    check_on::<T>(
        || simt.clone(),
        shape,
        &[2, 3],
        Settings::default(),
        |_, value| value,
    );
}

fn check_on<T: Element>(
    device: impl Fn() -> Simt + Sync,
    like: Shape,
    samples: &[usize],
    settings: Settings,
    value: impl Fn(usize, f64) -> f64 + Sync,
) {
    let answers: Vec<[Answer; 2]> = thread::scope(|scope| {
        let (device, value) = (&device, &value);
        let ranks = ThreadRank::connect(samples.len(), LIMIT).into_iter();
        let threads: Vec<_> = ranks
            .map(|rank| {
                scope.spawn(move || {
                    let simt = device();
                    let mut dims = like.dims().to_vec();
                    dims[0] = samples[rank.rank()];
                    let shape = Shape::new(&dims, like.layout()).unwrap();
                    let mut random = Random::new(rank.rank() as u64);
                    let mut some = || {
                        let values = (0..shape.len()).map(|i| value(i, random.normal()));
                        Tensor::new(&simt, shape, &typed::<T>(&values.collect::<Vec<_>>())).unwrap()
                    };
                    let arrays = [some(), some(), some()];
                    [false, true].map(|in_stream| {
                        answer::<T>(&rank, &simt, arrays.each_ref(), settings, in_stream).unwrap()
                    })
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for (rank, [host, stream]) in answers.iter().enumerate() {
        assert_eq!(host.len(), stream.len());
        for (index, (host, stream)) in host.iter().zip(stream).enumerate() {
            assert_eq!(
                stream, host,
                "rank {rank} of {samples:?}, {like}, {settings:?}, array {index}"
            );
        }
    }
}

/// Uneven, empty, of one sample, alone; by each epilogue.
fn check_splits<T: Element>() {
    let relu = Settings {
        activation: Activation::Relu,
        has_residual: true,
        ..Settings::default()
    };
    let silu = Settings {
        activation: Activation::Silu,
        sums_gradients: true,
        ..Settings::default()
    };
    let splits = [&[3usize, 4][..], &[1, 0, 6], &[0, 5], &[4], &[2, 1, 1, 3]];
    for (seed, (shape, samples)) in shapes::ranks()
        .into_iter()
        .zip(splits.iter().cycle())
        .enumerate()
    {
        let settings = [Settings::default(), relu, silu][seed % 3];
        check::<T>(shape, samples, settings, |i, value| value + (i % 7) as f64);
    }
}

#[test]
fn passes_in_the_stream_have_the_bits_of_the_host_in_f32() {
    check_splits::<f32>();
}

#[test]
fn passes_in_the_stream_have_the_bits_of_the_host_in_f16() {
    check_splits::<f16>();
}

#[test]
fn passes_in_the_stream_have_the_bits_of_the_host_in_bf16() {
    check_splits::<bf16>();
}

#[test]
fn passes_in_the_stream_have_the_bits_of_the_host_in_f64() {
    check_splits::<f64>();
}

#[test]
fn a_renormalized_batch_has_the_bits_of_the_host() {
    let settings = Settings {
        is_renormalized: true,
        ..Settings::default()
    };
    let shape = Shape::channels_first(&[1, 5, 6]).unwrap();
    check::<f32>(shape, &[2, 3], settings, |i, value| {
        value * 2.0 + (i % 5) as f64
    });
}

/// Sums that cancel, that overflow on the way, that vanish, and no numbers.
#[test]
fn values_that_hurt_have_the_bits_of_the_host() {
    fn check_values<T: Element>(largest: f64) {
        let shape = Shape::channels_first(&[1, 6, 4]).unwrap();
        let samples = [2, 3, 0, 1];
        for (scale, offset) in [
            (1.0, 1e6),
            (largest / 16.0, 0.0),
            (1.0 / largest, 0.0),
            (largest.sqrt(), 0.0),
            (0.0, 0.1),
        ] {
            check::<T>(shape, &samples, Settings::default(), |i, value| {
                // A sign for each value of a channel: ranks whose means cancel.
                let sign = if i % 4 < 2 { 1.0 } else { -1.0 };
                sign * offset + value * scale
            });
        }
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            check::<T>(shape, &samples, Settings::default(), |i, value| match i {
                0 => wrong,
                29 => f64::INFINITY,
                _ => value,
            });
        }
    }
    check_values::<f32>(f64::from(f32::MAX));
    check_values::<f64>(f64::MAX);
}

/// More channels than the workspace has room for threads.
#[test]
fn many_channels_have_the_bits_of_the_host() {
    let shape = Shape::channels_last(&[1, 17_001]).unwrap();
    check::<f32>(shape, &[2, 1, 3], Settings::default(), |_, value| value);
}

#[test]
fn what_is_refused_is_refused_before_anything_is_gathered() {
    thread::scope(|scope| {
        for rank in ThreadRank::connect(2, LIMIT) {
            scope.spawn(move || {
                let simt = Simt::on(SimtDriver::new(SimtDevice::tiny()).unwrap());
                let tensor = |dims: &[usize]| {
                    Tensor::<f32, _>::zeros(&simt, Shape::channels_first(dims).unwrap()).unwrap()
                };
                let layer = layer::<f32>(&simt, 2, Settings::default()).unwrap();
                let mut layer = SyncBatchNorm::new(layer, &rank).unwrap();
                let one = layer.agree_on_split(&Shape::channels_first(&[rank.rank(), 2]).unwrap());
                assert!(
                    matches!(one, Err(Error::TooFewValues { found: 1, .. })),
                    "{one:?}"
                );
                let wrong = Shape::channels_first(&[3, 2 + rank.rank()]).unwrap();
                let wrong = layer.agree_on_split(&wrong).unwrap_err();
                assert!(
                    matches!(wrong, Error::RankFailed { rank: 1, .. }),
                    "{wrong}"
                );

                let split = layer.agree_on_split(&tensor(&[3, 2]).shape()).unwrap();
                assert_eq!(split.total(), 6);
                let refused = layer
                    .forward_training_in_stream(tensor(&[4, 2]), &split)
                    .unwrap_err();
                assert!(refused.to_string().contains("agreed on"), "{refused}");
                let refused = layer
                    .forward_training_in_stream(tensor(&[3, 3]), &split)
                    .unwrap_err();
                assert!(matches!(refused, Error::Channels { .. }), "{refused}");
                assert_eq!(layer.layer().running().unwrap().num_batches_tracked(), 0);

                // Nothing of it was told to the other rank, whose next pass is in step with this one's.
                let (_, pass) = layer
                    .forward_training_in_stream(tensor(&[3, 2]), &split)
                    .unwrap();
                assert!(pass.backward(&tensor(&[2, 2])).is_err());
                pass.backward(&tensor(&[3, 2])).unwrap();
                let said = format!("{pass:?} {split:?}");
                assert!(
                    said.contains("of 2) Split(3 of 6 values per channel)"),
                    "{said}"
                );
            });
        }
    });
}
