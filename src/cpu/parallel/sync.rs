//! What threads meet in, for [`door`](super::door) and [`shares`](super::shares): `tests/interleavings` compiles these two files
//! with loom's in place of the standard library's.

pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
