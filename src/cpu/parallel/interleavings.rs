//! Every order in which threads can meet where tiles are given out and work is lent: with loom's primitives in place of the standard
//! library's ([`sync`](super::sync)), by `RUSTFLAGS="--cfg interleavings" cargo test --lib interleavings`.

use std::sync::PoisonError;

use loom::sync::{Arc, Mutex};
use loom::thread;

use crate::cpu::parallel::door::Door;
use crate::cpu::parallel::shares::Shares;
use crate::cpu::tiling::traversal::Traversal;

/// What threads claim that take an index before they work on the one before, as passes do.
fn claimed(shares: &Shares, thread: usize) -> Vec<usize> {
    let mut mine = Vec::new();
    let mut next = shares.claim(thread);
    while let Some(index) = next {
        next = shares.claim(thread);
        mine.push(index);
    }
    mine
}

/// Has threads claim, by `claims`, until there is nothing left that anybody wants.
fn claimed_by(threads: usize, count: usize, claims: fn(&Shares, usize) -> Vec<usize>) {
    for order in [Traversal::Ascending, Traversal::Descending] {
        loom::model(move || {
            let shares = Arc::new(Shares::new(threads, count, order));
            let others: Vec<_> = (1..threads)
                .map(|thread| {
                    let shares = Arc::clone(&shares);
                    thread::spawn(move || claims(&shares, thread))
                })
                .collect();
            let mut all = claims(&shares, 0);
            for other in others {
                all.extend(other.join().expect("it does not panic"));
            }
            all.sort_unstable();
            assert!(all.into_iter().eq(0..count));
        });
    }
}

#[test]
fn every_tile_is_claimed_once() {
    for count in 1..=3 {
        claimed_by(2, count, claimed);
    }
}

/// Three threads that claim as long as they do above meet in more orders than can be gone through: here each claims once.
#[test]
fn no_tile_is_missed_by_three_threads() {
    for count in 1..=3 {
        claimed_by(3, count, |shares, thread| {
            shares.claim(thread).into_iter().collect()
        });
    }
}

/// What the owner of some work borrows: there is none any more once the door has been closed.
#[test]
fn nobody_is_inside_when_a_door_has_been_closed() {
    for others in [1, 2] {
        loom::model(move || {
            let door = Arc::new(Door::new());
            let borrowed = Arc::new(Mutex::new(Some(0)));
            let joined: Vec<_> = (0..others)
                .map(|_| {
                    let (door, borrowed) = (Arc::clone(&door), Arc::clone(&borrowed));
                    thread::spawn(move || {
                        let Some(_inside) = door.enter() else {
                            return false;
                        };
                        let mut borrowed = borrowed.lock().unwrap_or_else(PoisonError::into_inner);
                        *borrowed.as_mut().expect("the owner has waited") += 1;
                        true
                    })
                })
                .collect();
            door.close();
            let visits = borrowed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            let entered = joined
                .into_iter()
                .map(|other| other.join().expect("it does not panic"));
            assert_eq!(visits, Some(entered.filter(|&entered| entered).count()));
        });
    }
}
