//! A layer over ranks: threads that each have a part of a batch, against one layer that has all of it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use batchnorm::candle::{BatchNorm, BatchNormConfig, batch_norm, error_of};
use batchnorm::{Activation, Error, ThreadRank};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{ModuleT, VarBuilder, VarMap};

const LIMIT: Duration = Duration::from_secs(300);
/// How many samples each rank has.
const SAMPLES: [usize; 3] = [3, 0, 5];

fn layer(channels: usize, activation: Activation) -> Result<BatchNorm> {
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    let config = BatchNormConfig {
        activation,
        ..BatchNormConfig::default()
    };
    batch_norm(channels, config, vb)
}

/// Does something on each of some ranks, each with its synchronized layer.
fn on_ranks<R: Send>(
    world: usize,
    channels: usize,
    activation: Activation,
    work: impl Fn(usize, BatchNorm) -> R + Sync,
) -> Vec<R> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = ThreadRank::connect(world, LIMIT)
            .into_iter()
            .enumerate()
            .map(|(index, rank)| {
                scope.spawn(move || {
                    let layer = layer(channels, activation).unwrap();
                    work(index, layer.synchronized(Arc::new(rank)).unwrap())
                })
            })
            .collect();
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        answers.collect()
    })
}

/// y, dx, the residual's gradient, and dγ, dβ and the running statistics as one (4, C).
type Answer = [Tensor; 4];

fn train(layer: &BatchNorm, x: &Tensor, residual: &Tensor, dy: &Tensor) -> Result<Answer> {
    let (x, residual) = (Var::from_tensor(x)?, Var::from_tensor(residual)?);
    let y = layer.forward_t_add(&x, &residual, true)?;
    let gradients = (&y * dy)?.sum_all()?.backward()?;
    let of = |tensor: &Tensor| gradients.get(tensor).unwrap().clone();
    let (weight, bias) = layer.weight_and_bias().unwrap();
    let channels = [
        &of(weight),
        &of(bias),
        layer.running_mean(),
        layer.running_var(),
    ];
    Ok([
        y.detach(),
        of(&x),
        of(&residual),
        Tensor::stack(&channels, 0)?,
    ])
}

/// The batch of all ranks, its residual, and dy.
fn batch(layout_last: bool) -> Result<[Tensor; 3]> {
    let samples: usize = SAMPLES.iter().sum();
    let array = |seed: usize| {
        let value = |i: usize| ((i * 7919 + seed * 31) % 1009) as f32 / 250.0 - 1.5;
        let values: Vec<f32> = (0..samples * 4 * 6).map(value).collect();
        if layout_last {
            Tensor::from_vec(values, (samples, 6, 4), &Device::Cpu)?.permute((0, 2, 1))
        } else {
            Tensor::from_vec(values, (samples, 4, 6), &Device::Cpu)
        }
    };
    Ok([array(1)?, array(2)?, array(3)?])
}

fn part(whole: &Tensor, rank: usize) -> Result<Tensor> {
    let first: usize = SAMPLES[..rank].iter().sum();
    whole.narrow(0, first, SAMPLES[rank])
}

fn farthest(a: &Tensor, b: &Tensor) -> Result<f32> {
    assert_eq!(a.dims(), b.dims());
    if a.elem_count() == 0 {
        return Ok(0.0);
    }
    (a - b)?.abs()?.flatten_all()?.max(0)?.to_scalar()
}

/// An activation that is none, of a layer that was connected before it was told.
#[test]
fn settings_of_one_rank_that_are_none_are_an_error_on_all() {
    let errors = on_ranks(2, 3, Activation::None, |rank, layer| {
        let slope = if rank == 1 { f64::NAN } else { 0.1 };
        let layer = layer.with_activation(Activation::LeakyRelu { slope });
        let x = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
        layer.forward_t(&x, true).unwrap_err().to_string()
    });
    for error in errors {
        assert!(error.contains("slope"), "{error}");
    }
}

#[test]
fn ranks_train_as_one_layer_with_the_whole_batch() -> Result<()> {
    for layout_last in [false, true] {
        for activation in [Activation::Relu, Activation::Silu] {
            let [x, residual, dy] = batch(layout_last)?;
            let expected = train(&layer(4, activation)?, &x, &residual, &dy)?;
            let answers = on_ranks(SAMPLES.len(), 4, activation, |rank, layer| {
                let [x, residual, dy] = [&x, &residual, &dy].map(|whole| part(whole, rank));
                train(&layer, &x?, &residual?, &dy?)
            });
            let answers = answers.into_iter().collect::<Result<Vec<Answer>>>()?;
            for (index, expected) in expected[..3].iter().enumerate() {
                let parts: Vec<&Tensor> = answers.iter().map(|answer| &answer[index]).collect();
                let found = Tensor::cat(&parts, 0)?;
                assert!(farthest(&found, expected)? < 2e-6, "{index}");
            }
            // dγ and dβ are summed by an optimizer, the running statistics are everyone's.
            let affine = |of: &Answer| of[3].narrow(0, 0, 2);
            let running = |of: &Answer| of[3].narrow(0, 2, 2);
            let mut sum = affine(&answers[0])?;
            for answer in &answers[1..] {
                sum = (sum + affine(answer)?)?;
                assert_eq!(farthest(&running(answer)?, &running(&answers[0])?)?, 0.0);
            }
            assert!(farthest(&sum, &affine(&expected)?)? < 2e-5);
            assert!(farthest(&running(&answers[0])?, &running(&expected)?)? < 1e-6);
        }
    }
    Ok(())
}

#[test]
fn one_rank_has_the_bits_of_the_layer() -> Result<()> {
    let [x, residual, dy] = batch(false)?;
    let expected = train(&layer(4, Activation::Relu)?, &x, &residual, &dy)?;
    let answers = on_ranks(1, 4, Activation::Relu, |_, layer| {
        train(&layer, &x, &residual, &dy)
    });
    for answer in answers {
        for (found, expected) in answer?.iter().zip(&expected) {
            assert_eq!(farthest(found, expected)?, 0.0);
        }
    }
    Ok(())
}

/// Whatever one rank is refused, all learn of it, and no running statistics have changed.
#[test]
fn a_fault_of_one_rank_is_an_error_on_all() {
    let wrong: [(&str, Tensor); 3] = [
        (
            "has 3 channels",
            Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap(),
        ),
        (
            "dtype",
            Tensor::zeros((2, 4), DType::U8, &Device::Cpu).unwrap(),
        ),
        (
            "F64",
            Tensor::zeros((2, 4), DType::F64, &Device::Cpu).unwrap(),
        ),
    ];
    let good = Tensor::ones((2, 4), DType::F32, &Device::Cpu).unwrap();
    for (expected, wrong) in wrong {
        on_ranks(2, 4, Activation::None, |rank, layer| {
            let x = if rank == 1 { &wrong } else { &good };
            let refused = layer.forward_t(x, true).unwrap_err();
            let reason = error_of(&refused).unwrap();
            assert!(
                matches!(reason, Error::RankFailed { rank: 1, .. }),
                "{reason}"
            );
            assert!(reason.to_string().contains(expected), "{reason}");
            let running = layer.running_mean().to_vec1::<f32>().unwrap();
            assert_eq!(running, [0.0; 4]);
            // The next batch is a good one.
            layer.forward_t(&good, true).unwrap();
            assert_eq!(layer.running_mean().to_vec1::<f32>().unwrap(), [0.1; 4]);
        });
    }
}

/// Before anything is exchanged, as any other fault.
#[test]
fn a_variance_that_is_set_to_none_on_one_rank_is_an_error_on_all() {
    let good = Tensor::ones((2, 4), DType::F32, &Device::Cpu).unwrap();
    on_ranks(2, 4, Activation::None, |rank, layer| {
        let variance = Var::from_tensor(layer.running_var()).unwrap();
        let set = |value: f32| variance.set(&Tensor::new(&[value; 4], &Device::Cpu).unwrap());
        if rank == 1 {
            set(-2.0).unwrap();
        }
        let refused = layer.forward_t(&good, true).unwrap_err();
        let reason = error_of(&refused).unwrap();
        assert!(
            matches!(reason, Error::RankFailed { rank: 1, .. })
                && reason.to_string().contains("-2.0 in channel 0"),
            "{reason}"
        );
        set(1.0).unwrap();
        layer.forward_t(&good, true).unwrap();
        assert_eq!(layer.running_mean().to_vec1::<f32>().unwrap(), [0.1; 4]);
    });
}

#[test]
fn one_value_in_all_is_an_error_on_all() {
    on_ranks(2, 4, Activation::None, |rank, layer| {
        let x = Tensor::ones((rank, 4), DType::F32, &Device::Cpu).unwrap();
        let refused = layer.forward_t(&x, true).unwrap_err();
        let reason = error_of(&refused).unwrap();
        assert!(
            matches!(reason, Error::TooFewValues { found: 1, .. }),
            "{reason}"
        );
    });
}

/// Of each rank by itself: nobody else needs to come.
#[test]
fn evaluation_and_frozen_layers_exchange_nothing() {
    on_ranks(2, 4, Activation::None, |rank, mut layer| {
        if rank == 1 {
            return;
        }
        let x = Tensor::ones((2, 4), DType::F32, &Device::Cpu).unwrap();
        let evaluated = layer.forward_t(&x, false).unwrap();
        layer.freeze();
        let frozen = layer.forward_t(&x, true).unwrap();
        assert_eq!(farthest(&evaluated, &frozen).unwrap(), 0.0);
        assert!(farthest(&evaluated, &x).unwrap() < 1e-4);
    });
}

#[test]
fn layers_that_differ_are_an_error_on_all() {
    let ranks = ThreadRank::connect(2, LIMIT);
    thread::scope(|scope| {
        for (index, rank) in ranks.into_iter().enumerate() {
            scope.spawn(move || {
                let layer = layer(4 + index, Activation::None).unwrap();
                let refused = layer.synchronized(Arc::new(rank)).unwrap_err();
                let reason = error_of(&refused).unwrap();
                assert!(
                    matches!(reason, Error::RanksDiffer { rank: 1, .. }),
                    "{reason}"
                );
            });
        }
    });
}
