//! Ranks that are threads of one process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::allocate::reserve;
use crate::error::{Error, Result};
use crate::synchronized::transport::{Transport, check_room, failed};

/// How long a rank looks for the others before it sleeps: they mostly come at about the same time, and to be woken takes longer than
/// an exchange does.
const LOOKS_FOR: Duration = Duration::from_micros(50);

/// A rank that is a thread: for tests, and for a process that has several devices.
///
/// A rank that has not come when the time limit ends makes the exchange an error on all ranks, from then on: it names those that were
/// missing. So does one that is dropped, as a panic does, where others wait for it.
///
/// ```
/// use std::{thread, time::Duration};
/// use batchnorm::{ThreadRank, Transport};
/// thread::scope(|scope| {
///     for rank in ThreadRank::connect(3, Duration::from_secs(10)) {
///         scope.spawn(move || {
///             let mut received = [0; 3];
///             rank.all_gather(&[rank.rank() as u8 * 10], &mut received).unwrap();
///             assert_eq!(received, [0, 10, 20]);
///         });
///     }
/// });
/// ```
#[derive(Debug)]
pub struct ThreadRank {
    rank: usize,
    world: Arc<World>,
    /// Held for an exchange: those of one rank come one after the other.
    exchanges: Mutex<()>,
}

/// What the ranks share.
#[derive(Debug)]
struct World {
    limit: Duration,
    state: Mutex<State>,
    /// [`State::rounds`], to be looked at without the lock.
    rounds: AtomicUsize,
    changed: Condvar,
    /// What each rank has sent, in even rounds and in odd ones: nobody can be further than in the next round while another still
    /// reads.
    sent: [Vec<Mutex<Vec<u8>>>; 2],
}

#[derive(Debug)]
struct State {
    /// How many exchanges are complete.
    rounds: usize,
    has_come: Vec<bool>,
    has_left: Vec<bool>,
    /// Why there will be no exchange any more.
    ended: Option<String>,
}

impl ThreadRank {
    /// So many ranks, for as many threads, which wait for each other at most so long.
    pub fn connect(world: usize, limit: Duration) -> Vec<Self> {
        let sent = || (0..world).map(|_| Mutex::default()).collect();
        let shared = Arc::new(World {
            limit,
            state: Mutex::new(State {
                rounds: 0,
                has_come: vec![false; world],
                has_left: vec![false; world],
                ended: None,
            }),
            rounds: AtomicUsize::new(0),
            changed: Condvar::new(),
            sent: [sent(), sent()],
        });
        let rank = |rank| Self {
            rank,
            world: Arc::clone(&shared),
            exchanges: Mutex::new(()),
        };
        (0..world).map(rank).collect()
    }

    /// Waits until the round is complete.
    fn wait_for_all(&self, round: usize) -> Result<()> {
        let begin = Instant::now();
        while self.world.rounds.load(Ordering::Acquire) == round {
            if begin.elapsed() > LOOKS_FOR {
                return self.sleep_until_all_have_come(round, begin);
            }
            std::hint::spin_loop();
        }
        Ok(())
    }

    fn sleep_until_all_have_come(&self, round: usize, begin: Instant) -> Result<()> {
        let mut state = self.world.lock();
        loop {
            if state.rounds != round {
                return Ok(());
            }
            state.check_not_ended()?;
            if let Some(left) = state.first_that_will_not_come() {
                return Err(self.world.end(&mut state, format!("rank {left} has left")));
            }
            let limit = self.world.limit;
            let Some(rest) = limit.checked_sub(begin.elapsed()) else {
                let reason = format!("{} did not come within {limit:?}", state.missing());
                return Err(self.world.end(&mut state, reason));
            };
            let woken = self.world.changed.wait_timeout(state, rest);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all exchanges, also those of ranks that wait.
    fn end(&self, state: &mut State, reason: String) -> Error {
        state.ended = Some(reason.clone());
        self.changed.notify_all();
        failed(reason)
    }
}

impl State {
    fn check_not_ended(&self) -> Result<()> {
        match &self.ended {
            None => Ok(()),
            Some(reason) => Err(failed(reason.clone())),
        }
    }

    /// A rank that is waited for in vain.
    fn first_that_will_not_come(&self) -> Option<usize> {
        let mut ranks = self.has_left.iter().zip(&self.has_come);
        ranks.position(|(&left, &come)| left && !come)
    }

    fn missing(&self) -> String {
        let missing: Vec<String> = (self.has_come.iter().enumerate())
            .filter(|(_, come)| !**come)
            .map(|(rank, _)| rank.to_string())
            .collect();
        let ranks = if missing.len() == 1 { "rank" } else { "ranks" };
        format!("{ranks} {}", missing.join(", "))
    }
}

impl Transport for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world.sent[0].len()
    }

    fn all_gather(&self, send: &[u8], received: &mut [u8]) -> Result<()> {
        let _alone = self
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        check_room(self.world(), send, received)?;
        let round = {
            let state = self.world.lock();
            state.check_not_ended()?;
            state.rounds
        };
        let parity = usize::from(!round.is_multiple_of(2));
        {
            let mut sent = of_rank(&self.world.sent[parity][self.rank]);
            sent.clear();
            reserve(&mut sent, send.len())?;
            sent.extend_from_slice(send);
        }
        let is_last = {
            let mut state = self.world.lock();
            state.check_not_ended()?;
            state.has_come[self.rank] = true;
            let is_last = state.has_come.iter().all(|&come| come);
            if is_last {
                state.has_come.fill(false);
                state.rounds = state.rounds.wrapping_add(1);
                self.world.rounds.store(state.rounds, Ordering::Release);
            }
            is_last
        };
        if is_last {
            self.world.changed.notify_all();
        } else {
            self.wait_for_all(round)?;
        }
        for (rank, sent) in self.world.sent[parity].iter().enumerate() {
            let sent = of_rank(sent);
            if sent.len() != send.len() {
                return Err(failed(format!(
                    "rank {rank} has sent {} bytes, rank {} {}: all ranks must call the same passes of the same layers in the same order",
                    sent.len(),
                    self.rank,
                    send.len()
                )));
            }
            received[rank * send.len()..][..send.len()].copy_from_slice(&sent);
        }
        Ok(())
    }
}

fn of_rank(sent: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    sent.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for ThreadRank {
    fn drop(&mut self) {
        let mut state = self.world.lock();
        state.has_left[self.rank] = true;
        if thread::panicking() && state.ended.is_none() {
            let reason = format!("rank {} has panicked", self.rank);
            state.ended = Some(reason);
        }
        self.world.changed.notify_all();
    }
}
