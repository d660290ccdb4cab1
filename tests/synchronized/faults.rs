//! What is refused on one rank is an error on all, which name that rank.

use std::error::Error as _;

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Error, Result, SyncBatchNorm, Transport};

use crate::{Layer, all_ranks, good, synchronized, table};

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
