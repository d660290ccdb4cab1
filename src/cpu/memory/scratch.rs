//! Memory that a thread keeps from pass to pass: coefficients, sums and statistics of many channels are large enough for the
//! system to hand out and take back page by page, which took several times as long as a small pass.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::thread::LocalKey;

/// What is larger is given back.
const KEPT_BYTES: usize = 1 << 18;
/// How many a thread keeps of a type: about as many as a pass has in use at a time.
const KEPT: usize = 16;

/// A type of values that memory is kept for.
pub trait Kept: Copy + Default + 'static {
    /// What the thread keeps.
    fn of_thread() -> &'static LocalKey<RefCell<Vec<Vec<Self>>>>;
}

macro_rules! kept {
    ($($value:ty),*) => {$(
        impl Kept for $value {
            fn of_thread() -> &'static LocalKey<RefCell<Vec<Vec<Self>>>> {
                thread_local! {
                    static OF_THREAD: RefCell<Vec<Vec<$value>>> = const { RefCell::new(Vec::new()) };
                }
                &OF_THREAD
            }
        }
    )*};
}

kept!(f32, f64);

/// Values that a pass needs for a while.
#[derive(Debug)]
pub(crate) struct Scratch<C: Kept> {
    values: Vec<C>,
    len: usize,
}

impl<C: Kept> Scratch<C> {
    /// So many values, whatever they were last.
    pub(crate) fn of_len(len: usize) -> Self {
        let kept = C::of_thread().try_with(|kept| kept.borrow_mut().pop());
        // While a thread ends there is nothing any more.
        let mut values = kept.ok().flatten().unwrap_or_default();
        if values.len() < len {
            values = vec![C::default(); len];
        }
        Self { values, len }
    }

    pub(crate) fn zeros(len: usize) -> Self {
        let mut zeros = Self::of_len(len);
        zeros.fill(C::default());
        zeros
    }
}

impl<C: Kept> Deref for Scratch<C> {
    type Target = [C];

    #[inline(always)]
    fn deref(&self) -> &[C] {
        &self.values[..self.len]
    }
}

impl<C: Kept> DerefMut for Scratch<C> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [C] {
        &mut self.values[..self.len]
    }
}

impl<C: Kept> Drop for Scratch<C> {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.values);
        if size_of_val(values.as_slice()) > KEPT_BYTES {
            return;
        }
        // While a thread ends nothing is kept.
        let _ = C::of_thread().try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < KEPT {
                kept.push(values);
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
    fn large_memory_is_given_back() {
        drop(Scratch::<f32>::of_len(KEPT_BYTES));
        f32::of_thread().with_borrow(|kept| assert!(kept.is_empty()));
    }
}
