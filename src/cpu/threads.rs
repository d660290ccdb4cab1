//! Who does the work: one thread, rayon's global pool, or a pool of the caller's size.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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

    /// What `work(0)`, `work(1)`, ... give, in this order, on as many threads as `bytes` of memory are worth. Each call is told
    /// which one the same thread makes next.
    pub(crate) fn map<R: Send>(
        &self,
        count: usize,
        bytes: usize,
        work: impl Fn(usize, Option<usize>) -> R + Sync,
    ) -> Vec<R> {
        let next_of = |index: usize| (index + 1 < count).then_some(index + 1);
        let threads = self.count().min(count);
        if threads <= 1 || bytes < WORTH_SHARING {
            return (0..count)
                .map(|index| work(index, next_of(index)))
                .collect();
        }
        let claims = Claims {
            next: AtomicUsize::new(0),
            count,
            done: Mutex::new(Vec::with_capacity(count)),
        };
        match &self.pool {
            Some(pool) => pool.in_place_scope(|scope| claims.share(scope, threads, &work)),
            None => rayon::in_place_scope(|scope| claims.share(scope, threads, &work)),
        }
        claims.results()
    }
}

/// What is left to do, and what has been done.
struct Claims<R> {
    next: AtomicUsize,
    count: usize,
    done: Mutex<Vec<(usize, R)>>,
}

impl<R> Claims<R> {
    fn claim(&self) -> Option<usize> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.count).then_some(index)
    }

    /// Has others take part, and takes part: much can be done while they wake up.
    fn share<'s>(
        &'s self,
        scope: &rayon::Scope<'s>,
        threads: usize,
        work: &'s (impl Fn(usize, Option<usize>) -> R + Sync),
    ) where
        R: Send,
    {
        for _ in 1..threads {
            scope.spawn(|_| self.take_part(work));
        }
        self.take_part(work);
    }

    /// Does what nobody else has claimed.
    fn take_part(&self, work: &impl Fn(usize, Option<usize>) -> R) {
        let mut mine = Vec::new();
        let mut claimed = self.claim();
        while let Some(index) = claimed {
            claimed = self.claim();
            mine.push((index, work(index, claimed)));
        }
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.extend(mine);
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
