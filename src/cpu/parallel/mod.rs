//! Who does the work: one thread, rayon's global pool, or a pool of the caller's size.

pub(crate) mod door;
#[cfg(all(test, interleavings))]
mod interleavings;
pub(crate) mod joint_work;
pub(crate) mod pool;
pub(crate) mod shares;
pub(crate) mod sync;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::allocate::reserved;
use crate::cpu::memory::scratch::no_room;
use crate::cpu::parallel::joint_work::do_together;
use crate::cpu::parallel::pool::Pool;
use crate::cpu::parallel::shares::Shares;
use crate::cpu::tiling::traversal::Traversal;
use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;

/// Below this many bytes, waking another thread costs more than it saves. (On a virtual machine, where that takes 50 us, two threads
/// are faster than one from 0.8 MB on; where the other is awake still, from 0.5 MB.) Under Miri, which takes minutes for a
/// megabyte, whatever has two tiles is shared.
const WORTH_SHARING: usize = if cfg!(miri) { 1 } else { 1 << 20 };

/// Where tiles are worked on. Who takes which tile changes nothing in the result.
#[derive(Clone)]
pub(crate) struct Threads {
    pool: Pool,
}

impl Threads {
    /// The pool the caller is in, by default rayon's global one.
    pub(crate) fn current() -> Self {
        Self {
            pool: Pool::current(),
        }
    }

    /// A pool of its own.
    pub(crate) fn exactly(threads: usize) -> Result<Self> {
        Ok(Self {
            pool: Pool::exactly(threads)?,
        })
    }

    /// How many there are: the caller's alone, where a pool could not be started, or was left behind by a `fork`.
    pub(crate) fn count(&self) -> usize {
        self.pool.threads()
    }

    /// Checks that the threads could be started, where so many bytes of memory are worth sharing.
    pub(crate) fn check(&self, bytes: usize) -> Result<()> {
        if bytes < WORTH_SHARING {
            return Ok(());
        }
        self.pool.check()
    }

    /// What `work(0)`, `work(1)`, ... give, in this order, on as many threads as `bytes` of memory are worth. Each call is told
    /// which one the same thread makes next, and can leave something for it.
    pub(crate) fn map<R: Send, L: Default>(
        &self,
        count: usize,
        bytes: usize,
        order: Traversal,
        work: impl Fn(usize, Option<usize>, &mut L) -> R + Sync,
    ) -> Vec<R> {
        let threads = if bytes < WORTH_SHARING {
            1
        } else {
            self.count().min(count).max(1)
        };
        if threads == 1 || !has_room_to_share() {
            return in_turn(count, order, work);
        }
        let shares = Shares::new(threads, count, order);
        let done = Mutex::new(room_for(count));
        // Much can be done here while the other threads wake up.
        do_together(threads - 1, |part| self.pool.spawn(part), &|thread| {
            work_off(&shares, thread, &work, &done);
        });
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(index, _)| *index);
        let mut results = room_for(count);
        results.extend(done.into_iter().map(|(_, result)| result));
        results
    }
}

/// Whether there is some memory left: to ask a pool's threads for anything takes a little, and where there is none rayon ends the program.
fn has_room_to_share() -> bool {
    const BYTES: usize = 1 << 13;
    let mut room = Vec::<u8>::new();
    let is_there = room.try_reserve_exact(BYTES).is_ok();
    // Memory that is not used for anything would not be asked for.
    std::hint::black_box(&mut room);
    is_there
}

/// Memory for so many results, or the end of the pass.
fn room_for<R>(results: usize) -> Vec<R> {
    reserved(results).unwrap_or_else(|error| no_room(error))
}

/// Everything on the caller's thread.
fn in_turn<R, L: Default>(
    count: usize,
    order: Traversal,
    work: impl Fn(usize, Option<usize>, &mut L) -> R,
) -> Vec<R> {
    let mut left = L::default();
    let at = |i| order.at(i, 0, count);
    let mut results = room_for(count);
    results.extend((0..count).map(|i| work(at(i), (i + 1 < count).then(|| at(i + 1)), &mut left)));
    if order == Traversal::Descending {
        results.reverse();
    }
    results
}

/// Works off what no other thread has claimed, and adds the results to what is done, each with its index.
fn work_off<R, L: Default>(
    shares: &Shares,
    thread: usize,
    work: &impl Fn(usize, Option<usize>, &mut L) -> R,
    done: &Mutex<Vec<(usize, R)>>,
) {
    // The thread may be of a program's own pool.
    let _mode = DefaultMode::enter();
    let (mut mine, mut left) = (Vec::new(), L::default());
    let mut claimed = shares.claim(thread);
    while let Some(index) = claimed {
        claimed = shares.claim(thread);
        if mine.try_reserve(1).is_err() {
            let bytes = mine.len() * size_of::<(usize, R)>();
            no_room(Error::OutOfMemory { bytes });
        }
        mine.push((index, work(index, claimed, &mut left)));
    }
    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
    done.append(&mut mine);
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads({})", self.count())
    }
}
