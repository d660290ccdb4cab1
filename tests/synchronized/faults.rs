//! What can go wrong on one rank, and what all of them then say.

use std::error::Error as _;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use batchnorm::{
    BatchNorm, BatchNormConfig, Cpu, Error, Result, SyncBatchNorm, Tensor, ThreadRank, Transport,
};

use crate::{LIMIT, all_ranks, layer, on_ranks, table};

type Layer<'r> = SyncBatchNorm<Cpu, &'r ThreadRank>;

fn synchronized(rank: &ThreadRank) -> Layer<'_> {
    SyncBatchNorm::new(layer(2), rank).unwrap()
}

fn good() -> Tensor<f32, Cpu> {
    table(2, &[1.0, 2.0, 3.0, 5.0])
}

/// That rank 1 of three is named as the one that failed, on all, and that the next pass is a good one.
fn rank_1_fails(expected: &str, fails: impl Fn(&mut Layer<'_>, bool) -> Result<()> + Sync) {
    let errors = all_ranks(3, |rank| {
        let mut layer = synchronized(&rank);
        let refused = fails(&mut layer, rank.rank() == 1).unwrap_err();
        assert_eq!(refused.source().is_some(), rank.rank() == 1);
        let running = layer.layer().running().unwrap();
        assert_eq!(running.num_batches_tracked(), 0);
        assert_eq!(running.mean().to_vec().unwrap(), [0.0, 0.0]);
        let (_, pass) = layer.forward_training(good()).unwrap();
        assert_eq!(pass.statistics()[0].count(), 6);
        refused
    });
    for error in errors {
        assert!(
            matches!(error, Error::RankFailed { rank: 1, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn an_input_of_other_channels_is_an_error_on_all() {
    rank_1_fails(
        "3 channels but the layer was built for 2",
        |layer, is_wrong| {
            let x = if is_wrong {
                table(3, &[1.0f32; 6])
            } else {
                good()
            };
            layer.forward_training(x).map(drop)
        },
    );
}

#[test]
fn a_residual_of_another_shape_is_an_error_on_all() {
    rank_1_fails("the residual is", |layer, is_wrong| {
        let residual = if is_wrong {
            table(2, &[1.0f32; 6])
        } else {
            good()
        };
        layer.forward_training_add(good(), &residual).map(drop)
    });
}

#[test]
fn an_output_of_another_shape_is_an_error_on_all_and_nothing_is_written() {
    rank_1_fails("y is", |layer, is_wrong| {
        let mut y = if is_wrong {
            table(2, &[7.0f32; 6])
        } else {
            table(2, &[7.0f32; 4])
        };
        let refused = layer.forward_training_into(good(), None, &mut y).map(drop);
        assert!(y.to_vec().unwrap().iter().all(|&y| y == 7.0));
        refused
    });
}

#[test]
fn a_deferred_pass_fails_on_all_too() {
    rank_1_fails("channels", |layer, is_wrong| {
        let x = if is_wrong {
            table(3, &[1.0f32; 6])
        } else {
            good()
        };
        layer.forward_training_deferred(x).map(drop)
    });
}

#[test]
fn a_gradient_of_another_shape_is_an_error_on_all_and_nothing_is_written() {
    let errors = all_ranks(3, |rank| {
        let mut layer = synchronized(&rank);
        let (_, pass) = layer.forward_training(good()).unwrap();
        let dy = if rank.rank() == 1 {
            table(2, &[1.0f32; 6])
        } else {
            good()
        };
        let mut dx = table(2, &[7.0f32; 4]);
        let refused = pass.backward_into(&dy, &mut dx, None).unwrap_err();
        assert_eq!(dx.to_vec().unwrap(), [7.0; 4]);
        assert!(pass.backward(&dy).is_err());
        // A residual's gradient where there was no residual.
        let mut dresidual = table(2, &[7.0f32; 4]);
        let asked = (rank.rank() == 1).then_some(&mut dresidual as _);
        let of_residual = pass.backward_into(&good(), &mut dx, asked).unwrap_err();
        assert!(
            of_residual
                .to_string()
                .contains("the forward pass had none")
        );
        assert_eq!(dx.to_vec().unwrap(), [7.0; 4]);
        pass.backward(&good()).unwrap();
        refused
    });
    for error in errors {
        assert!(
            matches!(error, Error::RankFailed { rank: 1, .. }),
            "{error}"
        );
    }
}

#[test]
fn an_epsilon_of_zero_is_an_error_on_all() {
    let config = BatchNormConfig::new(2).epsilon(0.0);
    all_ranks(2, |rank| {
        let layer = BatchNorm::new(&Cpu::new(), config).unwrap();
        let mut layer = SyncBatchNorm::new(layer, &rank).unwrap();
        let refused = layer.forward_training(good()).unwrap_err();
        assert!(
            matches!(refused, Error::RankFailed { rank: 0, .. }),
            "{refused}"
        );
    });
}

/// Layers that are to be synchronized must be the same: `make` makes rank 1's otherwise.
fn layers_differ(expected: &str, make: impl Fn(&ThreadRank, bool) -> Result<()> + Sync) {
    let errors = all_ranks(3, |rank| make(&rank, rank.rank() == 1).unwrap_err());
    for error in errors {
        assert!(
            matches!(error, Error::RanksDiffer { rank: 1, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn layers_that_differ_are_an_error_on_all() {
    let of = |config| BatchNorm::<Cpu>::new(&Cpu::new(), config).unwrap();
    layers_differ("BatchNorm(5, epsilon", |rank, is_other| {
        SyncBatchNorm::new(layer(if is_other { 5 } else { 2 }), rank).map(drop)
    });
    layers_differ("epsilon=1.0000000000000002e-3", |rank, is_other| {
        let epsilon = if is_other {
            0.001_000_000_000_000_000_2
        } else {
            0.001
        };
        SyncBatchNorm::new(of(BatchNormConfig::new(2).epsilon(epsilon)), rank).map(drop)
    });
    layers_differ("momentum=0.5", |rank, is_other| {
        let momentum = if is_other { 0.5 } else { 0.25 };
        SyncBatchNorm::new(of(BatchNormConfig::new(2).momentum(momentum)), rank).map(drop)
    });
    layers_differ("of f64", |rank, is_other| {
        if is_other {
            let layer = BatchNorm::<_, f64>::with_compute(&Cpu::new(), BatchNormConfig::new(2))?;
            return SyncBatchNorm::new(layer, rank).map(drop);
        }
        SyncBatchNorm::new(layer(2), rank).map(drop)
    });
    layers_differ("gradients summed", |rank, is_other| {
        if is_other {
            return SyncBatchNorm::with_summed_gradients(layer(2), rank).map(drop);
        }
        SyncBatchNorm::new(layer(2), rank).map(drop)
    });
}

#[test]
fn ghost_batches_are_an_error_on_all() {
    all_ranks(2, |rank| {
        let config = BatchNormConfig::new(2);
        let config = if rank.rank() == 1 {
            config.ghost_batch(2)
        } else {
            config
        };
        let layer = BatchNorm::<Cpu>::new(&Cpu::new(), config).unwrap();
        let refused = SyncBatchNorm::new(layer, &rank).unwrap_err();
        assert!(
            matches!(refused, Error::RankFailed { rank: 1, .. }),
            "{refused}"
        );
    });
}

#[test]
fn a_rank_that_does_not_come_is_named_when_the_time_is_over() {
    // Both of the others come at once, and rank 2 when they have gone.
    let (others_come, others_have_gone) = (Barrier::new(2), Barrier::new(3));
    let answers = on_ranks(3, Duration::from_secs(2), |rank| {
        if rank.rank() == 2 {
            others_have_gone.wait();
        } else {
            others_come.wait();
        }
        let refused = SyncBatchNorm::new(layer(2), &rank).unwrap_err();
        if rank.rank() != 2 {
            others_have_gone.wait();
        }
        refused
    });
    for refused in answers {
        let refused = refused.unwrap();
        assert!(matches!(refused, Error::Transport { .. }));
        let said = refused.to_string();
        assert!(said.contains("rank 2 did not come within 2s"), "{said}");
    }
}

#[test]
fn a_panic_on_one_rank_releases_the_others() {
    let begin = Instant::now();
    let mut ranks = on_ranks(3, LIMIT, |rank| {
        let mut layer = synchronized(&rank);
        if rank.rank() == 0 {
            std::panic::resume_unwind(Box::new("a panic of the program's"));
        }
        let refused = layer.forward_training(good()).unwrap_err();
        assert_eq!(layer.layer().running().unwrap().num_batches_tracked(), 0);
        refused.to_string()
    });
    for refused in ranks.split_off(1) {
        let refused = refused.unwrap();
        assert!(refused.contains("rank 0 has panicked"), "{refused}");
    }
    assert!(ranks[0].is_err() && begin.elapsed() < LIMIT);
}

/// A rank that has done its part may go; one that is still needed may not.
#[test]
fn a_rank_that_leaves_releases_the_others() {
    all_ranks(2, |rank| {
        let mut layer = synchronized(&rank);
        layer.forward_training(good()).unwrap();
        if rank.rank() == 1 {
            return;
        }
        let refused = layer.forward_training(good()).unwrap_err();
        assert!(refused.to_string().contains("rank 1 has left"), "{refused}");
        assert_eq!(layer.layer().running().unwrap().num_batches_tracked(), 1);
    });
}

#[test]
fn ranks_in_different_passes_learn_it() {
    all_ranks(2, |rank| {
        let mut layer = synchronized(&rank);
        let (_, pass) = layer.forward_training(good()).unwrap();
        let refused = if rank.rank() == 0 {
            pass.backward(&good()).unwrap_err()
        } else {
            layer.forward_training(good()).unwrap_err()
        };
        let said = refused.to_string();
        assert!(
            said.contains("rank 0 is in a backward pass, rank 1 is in a forward pass"),
            "{said}"
        );
    });
}

#[test]
fn ranks_in_different_layers_learn_it() {
    all_ranks(2, |rank| {
        let mut first = synchronized(&rank);
        let mut second = SyncBatchNorm::new(layer(3), &rank).unwrap();
        let refused = if rank.rank() == 0 {
            first.forward_training(good()).unwrap_err()
        } else {
            second.forward_training(table(3, &[1.0f32; 6])).unwrap_err()
        };
        assert!(refused.to_string().contains("bytes"), "{refused}");
    });
}

/// Of other channels, of another ε, and of what no synchronized layer can have.
#[test]
fn a_layer_of_other_settings_in_its_place_is_an_error_on_all() {
    for config in [
        BatchNormConfig::new(3),
        BatchNormConfig::new(2).epsilon(0.5),
        BatchNormConfig::new(2).ghost_batch(1),
    ] {
        let errors = all_ranks(3, |rank| {
            let mut layer = synchronized(&rank);
            if rank.rank() == 1 {
                *layer.layer_mut() = BatchNorm::new(&Cpu::new(), config).unwrap();
            }
            let together = vec![(&mut layer, good(), None)];
            let together = SyncBatchNorm::forward_training_together(together).map(drop);
            let refused = [
                together,
                layer.forward_training(good()).map(drop),
                layer.forward_training_deferred(good()).map(drop),
            ];
            // What takes no exchange is that rank's own error.
            assert_eq!(layer.forward_inference(&good()).is_err(), rank.rank() == 1);
            assert_eq!(layer.forward_frozen(good()).is_err(), rank.rank() == 1);
            assert_eq!(layer.layer().running().unwrap().num_batches_tracked(), 0);
            refused.map(|refused| refused.unwrap_err())
        });
        for error in errors.iter().flatten() {
            assert!(
                matches!(error, Error::RankFailed { rank: 1, .. }),
                "{error}"
            );
            assert!(error.to_string().contains("agreed on"), "{error}");
        }
    }
}

/// A transport that does not what it says.
#[derive(Clone, Copy)]
enum Broken {
    /// Gathers nothing.
    Silent,
    /// Is of no world.
    Nowhere,
    /// Has a library that fails.
    Failing,
    /// Is of more ranks than there is memory for.
    Huge,
}

impl Transport for Broken {
    fn rank(&self) -> usize {
        0
    }
    fn world(&self) -> usize {
        match self {
            Broken::Nowhere => 0,
            Broken::Huge => usize::MAX,
            _ => 2,
        }
    }
    fn all_gather(&self, _: &[u8], _: &mut [u8]) -> Result<()> {
        match self {
            Broken::Failing => Err(Error::Transport {
                reason: "the cable is out".to_owned(),
                source: None,
            }),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_transport_that_is_none_is_an_error() {
    for (broken, expected) in [
        (Broken::Silent, "at the place of rank 1 are not its bytes"),
        (Broken::Nowhere, "rank 0 is none of 0"),
        (Broken::Failing, "the cable is out"),
        (Broken::Huge, "memory"),
    ] {
        let refused = SyncBatchNorm::new(layer(2), broken).unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}

#[test]
fn threads_are_told_what_they_did_wrong() {
    let rank = &ThreadRank::connect(1, LIMIT)[0];
    let refused = rank.all_gather(&[1, 2], &mut [0; 3]).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("room for 3 bytes, needed are 1 times 2"),
        "{refused}"
    );
    assert!(ThreadRank::connect(0, LIMIT).is_empty());
}
