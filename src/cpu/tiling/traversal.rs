//! From which end work is gone through.

/// What is worked on first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traversal {
    /// The first.
    Forward,
    /// The last, which is likeliest to be in cache still after everything was read once.
    Reverse,
}

impl Traversal {
    /// The `i`-th of what is from `start` to `end`.
    pub(crate) fn at(self, i: usize, start: usize, end: usize) -> usize {
        match self {
            Traversal::Forward => start + i,
            Traversal::Reverse => end - 1 - i,
        }
    }
}
