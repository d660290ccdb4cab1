//! Memory that a thread retains from pass to pass: coefficients, sums and statistics of many channels are large enough for the
//! system to hand out and take back page by page, which took several times as long as a small pass.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::LocalKey;

use crate::allocate::filled;
use crate::error::{Error, Result};

/// Larger memory goes back to the allocator.
const MAX_RETAINED_BYTES: usize = 1 << 18;
/// How many vectors a thread retains of a type: about as many as a pass has in use at a time.
const MAX_RETAINED: usize = 16;

/// A type of values that a thread retains memory for.
pub trait ScratchElement: Copy + Default + 'static {
    /// The vectors that this thread retains.
    fn of_thread() -> &'static LocalKey<RefCell<Vec<Vec<Self>>>>;
}

/// Retains memory for these types.
macro_rules! scratch_elements {
    ($($value:ty),*) => {$(
        impl $crate::cpu::memory::scratch::ScratchElement for $value {
            fn of_thread() -> &'static std::thread::LocalKey<std::cell::RefCell<Vec<Vec<Self>>>> {
                thread_local! {
                    static OF_THREAD: std::cell::RefCell<Vec<Vec<$value>>> =
                        const { std::cell::RefCell::new(Vec::new()) };
                }
                &OF_THREAD
            }
        }
    )*};
}

pub(crate) use scratch_elements;

scratch_elements!(u8, f32, f64);

/// Values that a pass needs for a while.
#[derive(Debug)]
pub(crate) struct Scratch<C: ScratchElement> {
    values: Vec<C>,
    len: usize,
}

impl<C: ScratchElement> Scratch<C> {
    /// `len` values that hold whatever was written there last: to be written before they are read.
    pub(crate) fn of_len(len: usize) -> Self {
        let retained = C::of_thread().try_with(|retained| retained.borrow_mut().pop());
        // Memory comes from the allocator where nothing is retained, as while a thread ends, when its storage is gone.
        let mut values = retained.ok().flatten().unwrap_or_default();
        if values.len() < len {
            values = filled(len, C::default()).unwrap_or_else(|error| no_room(error));
        }
        Self { values, len }
    }

    pub(crate) fn zeros(len: usize) -> Self {
        let mut zeros = Self::of_len(len);
        zeros.fill(C::default());
        zeros
    }
}

/// Ends a pass for want of memory, from however deep in its loops and on whichever thread, up to [`or_no_room`].
#[cold]
pub(crate) fn no_room(error: Error) -> ! {
    resume_unwind(Box::new(error))
}

/// What some work gives, or the error that there was no memory for its scratch.
pub(crate) fn or_no_room<R>(work: impl FnOnce() -> R) -> Result<R> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| match payload.downcast::<Error>() {
        Ok(error) => *error,
        Err(other) => resume_unwind(other),
    })
}

impl<C: ScratchElement> Deref for Scratch<C> {
    type Target = [C];

    #[inline(always)]
    fn deref(&self) -> &[C] {
        &self.values[..self.len]
    }
}

impl<C: ScratchElement> DerefMut for Scratch<C> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [C] {
        &mut self.values[..self.len]
    }
}

impl<C: ScratchElement> Drop for Scratch<C> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if size_of_val(values.as_slice()) > MAX_RETAINED_BYTES {
            return;
        }
        // While a thread ends, its storage is gone, and the memory goes back to the allocator.
        let _ = C::of_thread().try_with(|retained| {
            let mut retained = retained.borrow_mut();
            if retained.len() < MAX_RETAINED {
                retained.push(values);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_is_used_again() {
        let address = |scratch: &Scratch<f64>| scratch.as_ptr().addr();
        let first = Scratch::<f64>::zeros(1000);
        let second = Scratch::<f64>::zeros(1000);
        let (at, other) = (address(&first), address(&second));
        assert_ne!(at, other);
        drop(first);
        let mut again = Scratch::of_len(500);
        assert_eq!((address(&again), again.len()), (at, 500));
        again.fill(3.0);
        drop(again);
        assert!(
            Scratch::<f64>::zeros(1000)
                .iter()
                .all(|&value| value == 0.0)
        );
    }

    #[test]
    fn no_room_is_an_error_and_a_panic_stays_one() {
        let bytes = usize::MAX;
        let found = or_no_room(|| Scratch::<f64>::zeros(usize::MAX / 4));
        assert_eq!(found.map(drop), Err(Error::OutOfMemory { bytes }));
        assert_eq!(or_no_room(|| 3), Ok(3));
        let panic = catch_unwind(|| or_no_room(|| resume_unwind(Box::new("another"))));
        assert!(panic.is_err());
    }

    #[test]
    fn large_memory_is_given_back() {
        drop(Scratch::<f32>::of_len(MAX_RETAINED_BYTES));
        f32::of_thread().with_borrow(|retained| assert!(retained.is_empty()));
    }
}
