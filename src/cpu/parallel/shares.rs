//! Who works on which tile.

use crate::cpu::parallel::sync::{AtomicUsize, Ordering};
use crate::cpu::tiling::traversal::Traversal;

/// Indices to be worked on, a share of them for each thread. A thread takes from its own share first, which is the same one in
/// every pass, so that it finds in its cache what it wrote there; then it takes from the others'.
#[derive(Debug)]
pub(crate) struct Shares {
    /// How many indices have been taken of each share.
    taken: Vec<AtomicUsize>,
    count: usize,
    order: Traversal,
}

impl Shares {
    /// Of the indices below `count`, for so many threads.
    pub(crate) fn new(threads: usize, count: usize, order: Traversal) -> Self {
        Self {
            taken: (0..threads).map(|_| AtomicUsize::new(0)).collect(),
            count,
            order,
        }
    }

    /// Takes an index that nobody has taken, if there is one left.
    pub(crate) fn claim(&self, thread: usize) -> Option<usize> {
        let shares = self.taken.len();
        (0..shares).find_map(|others| {
            let share = (thread + others) % shares;
            let (start, end) = (
                share * self.count / shares,
                (share + 1) * self.count / shares,
            );
            let taken = self.taken[share].fetch_add(1, Ordering::Relaxed);
            (taken < end - start).then(|| self.order.at(taken, start, end))
        })
    }
}
