//! Loom's, in place of the standard library's.

pub(crate) use std::sync::PoisonError;

pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
