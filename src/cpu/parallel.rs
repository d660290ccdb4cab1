//! Who does the work: one thread, rayon's global pool, or a pool of the caller's size.

use std::error::Error as _;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::cpu::simd::floating_point_mode::DefaultMode;
use crate::cpu::tiling::traversal::Traversal;
use crate::error::{Error, Result};

/// Below this many bytes, waking another thread costs more than it saves. (On a virtual machine, where that takes 50 us, two threads
/// are faster than one from 0.8 MB on; where the other is awake still, from 0.5 MB.)
const WORTH_SHARING: usize = 1 << 20;

/// Where tiles are worked on. Who takes which tile changes nothing in the result.
#[derive(Clone)]
pub(crate) struct Threads {
    /// Rayon's current pool if `None`.
    pool: Option<Arc<rayon::ThreadPool>>,
}

impl Threads {
    /// The pool the caller is in, by default rayon's global one.
    pub(crate) fn current() -> Self {
        Self { pool: None }
    }

    /// A pool of its own.
    pub(crate) fn exactly(threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::Threads {
                threads,
                reason: "at least 1 is needed".to_owned(),
            });
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| Error::Threads {
            threads,
            reason: error.to_string(),
        })?;
        Ok(Self {
            pool: Some(Arc::new(pool)),
        })
    }

    /// How many there are: the caller's alone, where the global pool could not be started.
    pub(crate) fn count(&self) -> usize {
        match &self.pool {
            Some(pool) => pool.current_num_threads(),
            None if start_global_pool().is_ok() => rayon::current_num_threads(),
            None => 1,
        }
    }

    /// Checks that the threads are there that so many bytes of memory are worth.
    pub(crate) fn check(&self, bytes: usize) -> Result<()> {
        if bytes < WORTH_SHARING || self.pool.is_some() {
            return Ok(());
        }
        start_global_pool().map_err(|reason| Error::Threads {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            reason: reason.to_owned(),
        })
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
        if threads == 1 {
            return in_turn(count, order, work);
        }
        let queue = WorkQueue {
            taken: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            count,
            order,
            done: Mutex::new(Vec::with_capacity(count)),
        };
        match &self.pool {
            Some(pool) => pool.in_place_scope(|scope| queue.run(scope, &work)),
            None => rayon::in_place_scope(|scope| queue.run(scope, &work)),
        }
        queue.results()
    }
}

/// Starts rayon's global pool if nobody has, or says why the system gave no threads. Rayon itself would panic, now and at
/// every later use.
fn start_global_pool() -> Result<(), &'static str> {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    // Without threads in the system rayon goes by without them, but not if it is told to start some.
    if cfg!(target_family = "wasm") || rayon::current_thread_index().is_some() {
        return Ok(());
    }
    let started = STARTED.get_or_init(|| {
        match rayon::ThreadPoolBuilder::new().build_global() {
            Err(error) if error.source().is_some() => Err(error.to_string()),
            // Or it was there already.
            _ => Ok(()),
        }
    });
    started.as_ref().map_err(String::as_str).copied()
}

/// Everything on the caller's thread.
fn in_turn<R, L: Default>(
    count: usize,
    order: Traversal,
    work: impl Fn(usize, Option<usize>, &mut L) -> R,
) -> Vec<R> {
    let mut left = L::default();
    let at = |i| order.at(i, 0, count);
    let mut results: Vec<R> = (0..count)
        .map(|i| work(at(i), (i + 1 < count).then(|| at(i + 1)), &mut left))
        .collect();
    if order == Traversal::Reverse {
        results.reverse();
    }
    results
}

/// Indices to be worked on, a share of them for each thread, and the results so far. A thread takes from its own share first,
/// which is the same one in every pass, so that it finds in its cache what it wrote there; then it takes from the others'.
struct WorkQueue<R> {
    /// How many indices have been taken of each share.
    taken: Vec<AtomicUsize>,
    count: usize,
    order: Traversal,
    done: Mutex<Vec<(usize, R)>>,
}

impl<R> WorkQueue<R> {
    fn claim(&self, thread: usize) -> Option<usize> {
        let shares = self.taken.len();
        (0..shares).find_map(|others| {
            let share = (thread + others) % shares;
            let (start, end) = (
                share * self.count / shares,
                (share + 1) * self.count / shares,
            );
            let taken = self.taken[share].fetch_add(1, Ordering::Relaxed);
            (taken < end - start).then(|| self.order.at(taken, start, end))
        })
    }

    /// Has other threads work, and works on this one meanwhile: much can be done while they wake up.
    fn run<'s, L: Default>(
        &'s self,
        scope: &rayon::Scope<'s>,
        work: &'s (impl Fn(usize, Option<usize>, &mut L) -> R + Sync),
    ) where
        R: Send,
    {
        for thread in 1..self.taken.len() {
            scope.spawn(move |_| self.work_off(thread, work));
        }
        self.work_off(0, work);
    }

    /// Works off what no other thread has claimed.
    fn work_off<L: Default>(
        &self,
        thread: usize,
        work: &impl Fn(usize, Option<usize>, &mut L) -> R,
    ) {
        // The thread may be of a program's own pool.
        let _mode = DefaultMode::enter();
        let (mut mine, mut left) = (Vec::new(), L::default());
        let mut claimed = self.claim(thread);
        while let Some(index) = claimed {
            claimed = self.claim(thread);
            mine.push((index, work(index, claimed, &mut left)));
        }
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.append(&mut mine);
    }

    fn results(self) -> Vec<R> {
        let mut done = self
            .done
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, result)| result).collect()
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads({})", self.count())
    }
}
