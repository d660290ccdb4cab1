//! A lock that a child process which was forked does not wait for where a thread of its parent held it: that thread is not there to
//! release it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use crate::cpu::process::this_process;

/// How long a child waits, once: far longer than any thread of its own holds the lock.
const LONGEST_HOLD: Duration = Duration::from_millis(100);

/// A value that one thread has at a time.
#[derive(Debug)]
pub(super) struct ForkedLock<T> {
    value: Mutex<T>,
    /// The process that used it first, zero before.
    process: AtomicU32,
    /// Whether a thread of that process held it when this one was forked: it is held for ever.
    is_left_behind: AtomicBool,
}

impl<T> ForkedLock<T> {
    pub(super) const fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            process: AtomicU32::new(0),
            is_left_behind: AtomicBool::new(false),
        }
    }

    /// The value, once no other thread has it; none where it was left behind by a `fork`.
    pub(super) fn lock(&self) -> Option<MutexGuard<'_, T>> {
        // Before it is taken for the first time: whoever finds it held knows of which process.
        if self.process.load(Ordering::SeqCst) == 0 {
            self.process.store(this_process(), Ordering::SeqCst);
        }
        self.lock_unless_held().or_else(|| self.wait())
    }

    fn lock_unless_held(&self) -> Option<MutexGuard<'_, T>> {
        match self.value.try_lock() {
            Ok(value) => Some(value),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    #[cold]
    fn wait(&self) -> Option<MutexGuard<'_, T>> {
        if self.process.load(Ordering::SeqCst) == this_process() {
            return Some(self.value.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let start = Instant::now();
        while !self.is_left_behind.load(Ordering::Relaxed) {
            thread::yield_now();
            if let Some(value) = self.lock_unless_held() {
                return Some(value);
            }
            if start.elapsed() > LONGEST_HOLD {
                self.is_left_behind.store(true, Ordering::Relaxed);
            }
        }
        None
    }

    /// As a child has it that was forked.
    #[cfg(test)]
    pub(super) fn is_of_a_child(&self) {
        self.process.store(this_process() + 1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_does_not_wait_for_ever_and_the_second_time_not_at_all() {
        let lock = ForkedLock::new(3);
        let of_parent = lock.lock();
        lock.is_of_a_child();
        assert!(lock.lock().is_none());
        let start = Instant::now();
        assert!((0..100).all(|_| lock.lock().is_none()));
        assert!(start.elapsed() < 10 * LONGEST_HOLD);
        drop(of_parent);
        // What nobody holds is the child's as it was the parent's.
        assert_eq!(lock.lock().as_deref(), Some(&3));
    }

    #[test]
    fn threads_of_one_process_and_of_a_child_wait_for_each_other() {
        // Miri takes seconds for a round.
        let rounds = if cfg!(miri) { 20 } else { 2000 };
        for of_child in [false, true] {
            let lock = ForkedLock::new(0);
            drop(lock.lock());
            if of_child {
                lock.is_of_a_child();
            }
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..rounds {
                            *lock.lock().unwrap() += 1;
                        }
                    });
                }
            });
            assert_eq!(lock.lock().as_deref(), Some(&(4 * rounds)));
        }
    }
}
