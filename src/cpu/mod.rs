//! The CPU backend: a SIMD level and the threads to run it on.

pub(crate) mod backend;
pub(crate) mod backward_steps;
pub(crate) mod elementwise;
pub(crate) mod epilogue;
pub(crate) mod events;
pub(crate) mod kept;
pub(crate) mod kept_steps;
pub(crate) mod kernels;
pub(crate) mod memory;
pub(crate) mod operands;
pub(crate) mod parallel;
pub(crate) mod per_type;
pub(crate) mod process;
pub(crate) mod reduce;
pub(crate) mod renormalization;
pub(crate) mod running;
pub(crate) mod simd;
pub(crate) mod steps;
pub(crate) mod tiling;
pub(crate) mod training_pass;

use std::fmt;

use crate::cpu::memory::buffer::CpuBuffer;
use crate::cpu::memory::scratch::or_no_room;
use crate::cpu::parallel::Threads;
use crate::cpu::simd::dispatch::{Dispatch, Level};
use crate::error::Result;

/// This machine's processor.
///
/// The result of every operation has the same bits for any number of threads; work is cut by the shape alone. The calling thread
/// does its part, and meanwhile nothing else: it can hold a lock that other work of the same pool wants. In a child process that was
/// forked the threads are not there: a `Cpu` of the parent's, and rayon's global pool if the parent had started it, work on the
/// calling thread alone, with the same results.
///
/// ```
/// use batchnorm::{Cpu, Level};
/// let cpu = Cpu::new();
/// println!("{cpu}"); // such as: cpu (avx2, 8 threads)
/// let one = Cpu::with_threads(1)?;
/// assert_eq!(one.threads(), 1);
/// assert!(Level::available().contains(&one.level()));
/// # Ok::<(), batchnorm::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Cpu {
    dispatch: Dispatch,
    threads: Threads,
}

impl Cpu {
    /// The best SIMD level there is, on rayon's pool: the one the caller is in, or the global one.
    pub fn new() -> Self {
        Self {
            dispatch: Dispatch::detect(),
            threads: Threads::current(),
        }
    }

    /// The best SIMD level there is, on a pool of so many threads.
    ///
    /// # Errors
    /// [`crate::Error::Threads`] for 0 and for more than 4096, or if the system refuses. (WebAssembly has one thread.)
    pub fn with_threads(threads: usize) -> Result<Self> {
        Ok(Self {
            dispatch: Dispatch::detect(),
            threads: Threads::exactly(threads)?,
        })
    }

    /// The same threads at another SIMD level.
    ///
    /// # Errors
    /// [`crate::Error::LevelUnavailable`] if the machine cannot run it.
    pub fn at_level(self, level: Level) -> Result<Self> {
        Ok(Self {
            dispatch: Dispatch::of(level)?,
            ..self
        })
    }

    /// The SIMD level in use.
    pub fn level(&self) -> Level {
        self.dispatch.level()
    }

    /// The number of threads that large operations run on. (They are an [`Error::Threads`](crate::Error::Threads) where
    /// the system has refused to start rayon's global pool, and this is 1.)
    pub fn threads(&self) -> usize {
        self.threads.count()
    }

    /// Does work that goes over so many bytes, if there are the threads and the memory for it.
    fn attempt<R>(&self, bytes: usize, work: impl FnOnce() -> R) -> Result<R> {
        self.threads.check(bytes)?;
        or_no_room(work)
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = self.threads();
        write!(
            f,
            "cpu ({}, {threads} thread{})",
            self.level(),
            if threads == 1 { "" } else { "s" }
        )
    }
}

/// One bit a value. Which bit is whose is the backend's own affair.
#[derive(Debug)]
pub struct CpuMask(CpuBuffer<u8>);
