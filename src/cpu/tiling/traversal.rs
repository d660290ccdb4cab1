//! From which end work is gone through.

/// What is worked on first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Traversal {
    /// The first.
    Ascending,
    /// The last, which is likeliest to be in cache still after everything was read once.
    Descending,
}

impl Traversal {
    /// The `i`-th of what is from `start` to `end`.
    pub(crate) fn at(self, i: usize, start: usize, end: usize) -> usize {
        match self {
            Traversal::Ascending => start + i,
            Traversal::Descending => end - 1 - i,
        }
    }
}
