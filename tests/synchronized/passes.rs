//! The other passes of a synchronized layer, and batches at the edge of what there can be.

use std::thread;

use batchnorm::{
    Averaging, BatchNorm, BatchNormConfig, Cpu, Error, RunningStatistics, SyncBatchNorm, Tensor,
    ThreadRank, Transport,
};

use crate::{LIMIT, all_ranks, layer, table};

fn running(running: Option<&RunningStatistics<f32, Cpu>>) -> (Vec<f32>, Vec<f32>, u64) {
    let running = running.unwrap();
    let (mean, variance) = (running.mean().to_vec(), running.variance().to_vec());
    (
        mean.unwrap(),
        variance.unwrap(),
        running.num_batches_tracked(),
    )
}

/// Parts of 1 to 4 with the mean 2.5 and the variance 1.25.
fn part(rank: usize) -> Tensor<f32, Cpu> {
    table(1, [&[1.0f32, 2.0, 3.0][..], &[4.0]][rank])
}

#[test]
fn running_statistics_follow_the_whole_batch_at_once_or_later() {
    all_ranks(2, |rank| {
        let x = part(rank.rank());
        let mut at_once = SyncBatchNorm::new(layer(1), &rank).unwrap();
        let mut later = SyncBatchNorm::new(layer(1), &rank).unwrap();
        at_once.forward_training(&x).unwrap();
        let before = running(later.layer().running());
        let (_, pass) = later.forward_training_deferred(&x).unwrap();
        assert_eq!(running(later.layer().running()), before);
        later.follow(pass.statistics()).unwrap();
        let (mean, variance, batches) = running(later.layer().running());
        assert_eq!((mean[0], batches), (0.25, 1));
        assert!((variance[0] - (0.9 + 0.1 * 1.25 * 4.0 / 3.0)).abs() < 1e-6);
        assert_eq!(
            running(at_once.layer().running()),
            (mean, variance, batches)
        );
    });
}

#[test]
fn without_running_statistics_every_pass_is_of_the_whole_batch() {
    let config = BatchNormConfig::new(1).averaging(Averaging::Off);
    all_ranks(2, |rank| {
        let x = part(rank.rank());
        let layer = BatchNorm::new(&Cpu::new(), config).unwrap();
        let mut layer = SyncBatchNorm::new(layer, &rank).unwrap();
        let (trained, _) = layer.forward_training(&x).unwrap();
        let (frozen, pass) = layer.forward_frozen(&x).unwrap();
        let inferred = layer.forward_inference(&x).unwrap();
        assert_eq!(pass.statistics()[0].mean().to_vec().unwrap(), [2.5]);
        assert_eq!(trained.to_vec().unwrap(), frozen.to_vec().unwrap());
        assert_eq!(trained.to_vec().unwrap(), inferred.to_vec().unwrap());
        assert!(
            (trained.to_vec().unwrap()[0] - (x.to_vec().unwrap()[0] - 2.5) / 1.25f32.sqrt()).abs()
                < 1e-4
        );
    });
}

/// A residual and memory of the caller's change nothing of that, and in place y has the same bits.
#[test]
fn fixed_passes_take_residuals_and_write_in_place() {
    for averaging in [Averaging::Off, Averaging::Exponential { momentum: 0.1 }] {
        let config = BatchNormConfig::new(1).averaging(averaging);
        all_ranks(2, |rank| {
            let (x, residual) = (part(rank.rank()), part(rank.rank()));
            let layer = BatchNorm::new(&Cpu::new(), config).unwrap();
            let layer = SyncBatchNorm::new(layer, &rank).unwrap();
            let plain = layer.forward_inference(&x).unwrap().to_vec().unwrap();
            let expected: Vec<f32> = (plain.iter().zip(residual.to_vec().unwrap()))
                .map(|(y, residual)| y + residual)
                .collect();
            let added = layer.forward_inference_add(&x, &residual).unwrap();
            let added = added.to_vec().unwrap();
            for (found, expected) in added.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-6, "{added:?}, {expected:?}");
            }
            let (frozen, _) = layer.forward_frozen_add(&x, &residual).unwrap();
            assert_eq!(frozen.to_vec().unwrap(), added);
            let mut both = part(rank.rank());
            (layer.forward_inference_in_place(&mut both, Some(&residual))).unwrap();
            assert_eq!(both.to_vec().unwrap(), added);
        });
    }
}

/// In place an input that is refused stays as it is, on every rank.
#[test]
fn an_input_in_place_that_is_refused_stays() {
    let config = BatchNormConfig::new(1).averaging(Averaging::Off);
    all_ranks(2, |rank| {
        let layer = BatchNorm::new(&Cpu::new(), config).unwrap();
        let layer = SyncBatchNorm::new(layer, &rank).unwrap();
        let mut x = table(1 + rank.rank(), &[1.0f32, 2.0]);
        let refused = layer.forward_inference_in_place(&mut x, None).unwrap_err();
        assert!(
            matches!(refused, Error::RankFailed { rank: 1, .. }),
            "{refused}"
        );
        assert_eq!(x.to_vec().unwrap(), [1.0, 2.0]);
    });
}

/// With running statistics a rank infers, and goes backward through constants, by itself.
#[test]
fn fixed_passes_need_nobody() {
    let ranks = ThreadRank::connect(2, LIMIT);
    let layers: Vec<_> = thread::scope(|scope| {
        let made: Vec<_> = ranks
            .iter()
            .map(|rank| scope.spawn(move || SyncBatchNorm::new(layer(1), rank).unwrap()))
            .collect();
        made.into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let x = part(0);
    assert_eq!(
        layers[0].forward_inference(&x).unwrap().to_vec().unwrap(),
        layer(1).forward_inference(&x).unwrap().to_vec().unwrap()
    );
    let (_, pass) = layers[0].forward_frozen(&x).unwrap();
    let (_, expected) = layer(1).forward_frozen(&x).unwrap();
    let (found, expected) = (pass.backward(&x).unwrap(), expected.backward(&x).unwrap());
    assert_eq!(
        found.input.to_vec().unwrap(),
        expected.input.to_vec().unwrap()
    );
    assert_eq!(
        found.gamma.unwrap().to_vec().unwrap(),
        expected.gamma.unwrap().to_vec().unwrap()
    );
}

#[test]
fn no_values_anywhere_are_an_empty_batch() {
    all_ranks(3, |rank| {
        let mut layer = SyncBatchNorm::new(layer(2), &rank).unwrap();
        let (y, pass) = layer.forward_training(table::<f32>(2, &[])).unwrap();
        assert!(y.to_vec().unwrap().is_empty());
        let gradients = pass.backward(&y).unwrap();
        assert_eq!(gradients.gamma.unwrap().to_vec().unwrap(), [0.0, 0.0]);
        let (mean, variance, batches) = running(layer.layer().running());
        assert_eq!((mean, variance, batches), (vec![0.0; 2], vec![1.0; 2], 1));
    });
}

#[test]
fn one_value_in_all_is_an_error_on_all() {
    all_ranks(3, |rank| {
        let values: &[f32] = if rank.rank() == 1 { &[5.0, 6.0] } else { &[] };
        let mut layer = SyncBatchNorm::new(layer(2), &rank).unwrap();
        let error = layer.forward_training(table(2, values)).unwrap_err();
        assert!(
            matches!(error, Error::TooFewValues { found: 1, .. }),
            "{error}"
        );
        assert_eq!(running(layer.layer().running()).2, 0);
    });
}

#[test]
fn it_says_what_it_is() {
    all_ranks(2, |rank| {
        let mut layer = SyncBatchNorm::new(layer(1), &rank).unwrap();
        let (_, pass) = layer.forward_training(table(1, &[1.0f32, 2.0])).unwrap();
        let rank = rank.rank();
        let said = format!("{layer:?} {pass:?}");
        assert!(said.starts_with("SyncBatchNorm(BatchNorm"), "{said}");
        let expected = format!(
            "SyncPass(PartPass(f32 [2, 1] channels first, of 4 values per channel), rank {rank} of 2)"
        );
        assert!(said.ends_with(&expected), "{said}");
    });
}
