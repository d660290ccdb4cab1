//! Layers that are to be synchronized must be the same on all ranks.

use batchnorm::{
    BatchNorm, BatchNormConfig, Cpu, Error, Result, SyncBatchNorm, ThreadRank, Transport,
};

use crate::{all_ranks, good, layer, synchronized};

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

/// A connection on which rank 1 seems to be of another version, or of another world.
#[derive(Clone, Copy)]
struct Seems<'r> {
    rank: &'r ThreadRank,
    from: &'static str,
    to: &'static str,
}

impl Transport for Seems<'_> {
    fn rank(&self) -> usize {
        self.rank.rank()
    }
    fn world(&self) -> usize {
        self.rank.world()
    }
    fn all_gather(&self, send: &[u8], received: &mut [u8]) -> Result<()> {
        let mut told = send.to_vec();
        if self.rank() == 1 {
            replace(&mut told, self.from, self.to);
        }
        self.rank.all_gather(&told, received)?;
        // What it has sent it gets back as it was.
        if self.rank() == 1 {
            received[send.len()..][..send.len()].copy_from_slice(send);
        }
        Ok(())
    }
}

fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let found = bytes
        .windows(from.len())
        .position(|part| part == from.as_bytes());
    let found = found.expect("the settings are told as a text");
    bytes[found..][..to.len()].copy_from_slice(to.as_bytes());
}

#[test]
fn another_version_or_another_world_is_an_error() {
    const HERE: &str = concat!("batchnorm ", env!("CARGO_PKG_VERSION"));
    let other = HERE.replace(|digit: char| digit.is_ascii_digit(), "9");
    let other: &'static str = other.leak();
    for (from, to) in [(HERE, other), ("2 ranks", "3 ranks")] {
        let errors = all_ranks(2, |rank| {
            let ranks = Seems {
                rank: &rank,
                from,
                to,
            };
            SyncBatchNorm::new(layer(2), ranks).map(drop).err()
        });
        // Rank 1 itself hears what it has said.
        assert!(errors[1].is_none(), "{errors:?}");
        let Some(Error::RanksDiffer {
            rank: 1,
            found,
            needed,
        }) = &errors[0]
        else {
            panic!("{errors:?}");
        };
        assert!(
            found.contains(to) && needed.contains(from),
            "{found}, {needed}"
        );
    }
}
