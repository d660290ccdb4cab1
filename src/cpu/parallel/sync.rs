//! What threads meet in, for [`door`](super::door) and [`shares`](super::shares): the standard library's primitives, or loom's where
//! every order is gone through (`interleavings.rs`).

pub(crate) use std::sync::PoisonError;

#[cfg(all(test, interleavings))]
pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
#[cfg(all(test, interleavings))]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(all(test, interleavings)))]
pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
#[cfg(not(all(test, interleavings)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
