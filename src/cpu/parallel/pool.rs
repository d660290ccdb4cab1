//! Rayon's pools: how they are started, and whether their threads are there.

use std::error::Error as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::cpu::process::this_process;
use crate::error::cause::Cause;
use crate::error::{Error, Result};

/// Whether the system has threads beside the caller's.
const HAS_THREADS: bool = !cfg!(target_family = "wasm");

/// Threads to give work to.
#[derive(Clone)]
pub(crate) struct Pool {
    /// Rayon's current pool if `None`.
    own: Option<Arc<rayon::ThreadPool>>,
    /// The process that it was made in. A child that was forked has none of its threads.
    process: u32,
}

/// More than any machine runs at once. So many that the system has no room for one more can end the program.
const MOST_THREADS: usize = 4096;

impl Pool {
    /// The one the caller is in, by default rayon's global one.
    pub(crate) fn current() -> Self {
        Self {
            own: None,
            process: this_process(),
        }
    }

    /// A pool of so many threads.
    pub(crate) fn exactly(threads: usize) -> Result<Self> {
        if !(1..=MOST_THREADS).contains(&threads) {
            return Err(Error::Threads {
                threads,
                reason: format!("needed are 1 to {MOST_THREADS}"),
                source: None,
            });
        }
        if threads == 1 && !HAS_THREADS {
            return Ok(Self::current());
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| Error::Threads {
            threads,
            reason: error.to_string(),
            source: Some(Cause::new(error)),
        })?;
        Ok(Self {
            own: Some(Arc::new(pool)),
            process: this_process(),
        })
    }

    /// How many threads it has: the caller's alone, where the global pool could not be started, and in a child that was forked.
    pub(crate) fn threads(&self) -> usize {
        match &self.own {
            _ if self.process != this_process() => 1,
            Some(pool) => pool.current_num_threads(),
            None => match global_pool() {
                GlobalPool::Started => rayon::current_num_threads(),
                GlobalPool::LeftBehind | GlobalPool::Refused(_) => 1,
            },
        }
    }

    /// Checks that it could be started.
    pub(crate) fn check(&self) -> Result<()> {
        if self.own.is_some() {
            return Ok(());
        }
        match global_pool() {
            GlobalPool::Refused(reason) => Err(Error::Threads {
                threads: std::thread::available_parallelism().map_or(1, usize::from),
                reason: reason.to_owned(),
                source: None,
            }),
            GlobalPool::Started | GlobalPool::LeftBehind => Ok(()),
        }
    }

    /// Has one of its threads do this, some time.
    pub(crate) fn spawn(&self, work: Box<dyn FnOnce() + Send>) {
        match &self.own {
            Some(pool) => pool.spawn(work),
            None => rayon::spawn(work),
        }
    }
}

/// Rayon's current pool, as the calling thread has it.
enum GlobalPool {
    Started,
    /// In the process that this one was forked from.
    LeftBehind,
    /// Why the system gave no threads.
    Refused(&'static str),
}

/// Starts rayon's global pool if nobody has. Where the system gave no threads rayon itself would panic, now and at every later
/// use.
fn global_pool() -> GlobalPool {
    static STARTED: OnceLock<Result<(), String>> = OnceLock::new();
    /// The process that starts it, or has started it; zero before.
    static PROCESS: AtomicU32 = AtomicU32::new(0);
    // Without threads in the system rayon goes by without them, but not if it is told to start some.
    if !HAS_THREADS || rayon::current_thread_index().is_some() {
        return GlobalPool::Started;
    }
    let this = this_process();
    let before = PROCESS.compare_exchange(0, this, Ordering::SeqCst, Ordering::SeqCst);
    if before.is_err_and(|process| process != this) {
        // Which may not have come to the end of it: that is not waited for.
        return GlobalPool::LeftBehind;
    }
    let started = STARTED.get_or_init(|| {
        match rayon::ThreadPoolBuilder::new().build_global() {
            Err(error) if error.source().is_some() => Err(error.to_string()),
            // Or it was there already.
            _ => Ok(()),
        }
    });
    match started {
        Ok(()) => GlobalPool::Started,
        Err(reason) => GlobalPool::Refused(reason),
    }
}
