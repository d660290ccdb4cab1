//! Who does the work: one thread, rayon's global pool, or a pool of the caller's size.

use std::fmt;
use std::sync::Arc;

use rayon::prelude::*;

use crate::{Error, Result};

/// Below this many bytes, waking another thread costs more than it saves.
const WORTH_SHARING: usize = 256 << 10;

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

    pub(crate) fn count(&self) -> usize {
        self.pool
            .as_ref()
            .map_or_else(rayon::current_num_threads, |pool| {
                pool.current_num_threads()
            })
    }

    /// `work(0), work(1), ...` in order, on as many threads as `bytes` of memory are worth.
    pub(crate) fn map<R: Send>(
        &self,
        count: usize,
        bytes: usize,
        work: impl Fn(usize) -> R + Sync,
    ) -> Vec<R> {
        if count == 1 || bytes < WORTH_SHARING || self.count() == 1 {
            return (0..count).map(work).collect();
        }
        let shared = || {
            (0..count)
                .into_par_iter()
                .with_max_len(1)
                .map(&work)
                .collect()
        };
        match &self.pool {
            Some(pool) => pool.install(shared),
            None => shared(),
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Threads({})", self.count())
    }
}
