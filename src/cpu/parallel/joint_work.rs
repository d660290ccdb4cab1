//! Work of one thread that threads of a pool join in, for as long as it takes.
//!
//! Rayon has scopes for this, but who leaves one waits for every thread that was asked for, and a thread of any pool does what
//! else its pool has to do while it waits: the next item of the program's own loop, say, which may want a lock that this thread
//! holds. Here a thread that has not come by the end stays away, and for those that have come the caller waits doing nothing.
#![expect(
    unsafe_code,
    reason = "a pool takes work that outlives the call, which this does not"
)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cpu::parallel::door::Door;

/// What each thread does, given its number.
type Work<'w> = dyn Fn(usize) + Sync + 'w;

/// Does `work(0)` here, and has `ask` give the work of 1 to `others` to other threads. What has not begun when `work(0)` is done
/// is not done. A panic of any of them is this one's.
pub(crate) fn do_together(others: usize, ask: impl Fn(Box<dyn FnOnce() + Send>), work: &Work<'_>) {
    let joint = Arc::new(JointWork::of(work));
    let closing = Closing(&joint);
    for thread in 1..=others {
        let joint = Arc::clone(&joint);
        ask(Box::new(move || joint.join(thread)));
    }
    work(0);
    drop(closing);
    let mut panic = joint.panic.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(payload) = panic.take() {
        drop(panic);
        resume_unwind(payload);
    }
}

/// What those who come have in common with the one whose work it is.
struct JointWork {
    work: NonNull<Work<'static>>,
    door: Door,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `work` is a shared reference to what is `Sync`, as the type says; the door and the mutex are both.
unsafe impl Send for JointWork {}
// SAFETY: several threads may call what `work` refers to, which is `Sync`, and use the door and the mutex at once.
unsafe impl Sync for JointWork {}

/// Closes the door however the owner's part of the work ends.
struct Closing<'j>(&'j JointWork);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.door.close();
    }
}

impl JointWork {
    fn of<'w>(work: &'w Work<'w>) -> Self {
        // SAFETY: only the lifetime is another. `join` alone reads it, behind the door, which `do_together` closes before the
        // reference ends, whether it returns or unwinds.
        let work = unsafe { std::mem::transmute::<&'w Work<'w>, &'static Work<'static>>(work) };
        Self {
            work: NonNull::from(work),
            door: Door::new(),
            panic: Mutex::new(None),
        }
    }

    /// Does a part of the work, if it is there still.
    fn join(&self, thread: usize) {
        let Some(_inside) = self.door.enter() else {
            return;
        };
        // SAFETY: the door was open, and is not closed before `_inside` is dropped: the owner is in `do_together`, which the
        // reference outlives.
        let work = unsafe { self.work.as_ref() };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(thread))) {
            let mut panic = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            panic.get_or_insert(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn on_a_thread(part: Box<dyn FnOnce() + Send>) {
        thread::spawn(part);
    }

    #[test]
    fn who_has_begun_is_waited_for() {
        let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |thread| {
            begun.fetch_add(1, Ordering::SeqCst);
            while begun.load(Ordering::SeqCst) < 4 {
                thread::yield_now();
            }
            thread::sleep(std::time::Duration::from_millis(10 * thread as u64));
            ended.fetch_add(1, Ordering::SeqCst);
        };
        do_together(3, on_a_thread, &work);
        assert_eq!(ended.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn who_comes_late_does_nothing() {
        let late = Mutex::new(Vec::new());
        let done = AtomicUsize::new(0);
        let work = |_| {
            done.fetch_add(1, Ordering::SeqCst);
        };
        do_together(3, |part| late.lock().unwrap().push(part), &work);
        for part in late.into_inner().unwrap() {
            part();
        }
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_panic_anywhere_is_the_callers() {
        for of in [0, 2] {
            let begun = AtomicUsize::new(0);
            let work = |thread| {
                begun.fetch_add(1, Ordering::SeqCst);
                while begun.load(Ordering::SeqCst) < 3 {
                    thread::yield_now();
                }
                if thread == of {
                    resume_unwind(Box::new(thread));
                }
            };
            let found = catch_unwind(AssertUnwindSafe(|| do_together(2, on_a_thread, &work)));
            assert_eq!(found.unwrap_err().downcast_ref(), Some(&of));
        }
    }
}
