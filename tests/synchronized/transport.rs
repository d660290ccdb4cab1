//! Ranks that do not come, that leave, that are elsewhere, and transports that do not what they say.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use batchnorm::{Error, Result, SyncBatchNorm, ThreadRank, Transport};

use crate::{LIMIT, all_ranks, good, layer, on_ranks, synchronized, table};

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
