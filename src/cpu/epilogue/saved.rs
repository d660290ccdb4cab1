//! What a forward pass saves for the derivative of its activation.

/// Bits or values, to be written (forward) or read (backward).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Saved<M, V> {
    /// The derivative is the same everywhere, or v is recomputed from x.
    Nothing,
    /// One bit a value: whether v is above zero as it is stored.
    Mask(M),
    /// v, rounded as y is.
    #[expect(
        dead_code,
        reason = "no activation yet has a derivative that needs more than a bit"
    )]
    PreActivation(V),
}

impl<M, V> Saved<M, V> {
    /// The two, of which one at most is there.
    pub(crate) fn split(self) -> (Option<M>, Option<V>) {
        match self {
            Saved::Nothing => (None, None),
            Saved::Mask(mask) => (Some(mask), None),
            Saved::PreActivation(v) => (None, Some(v)),
        }
    }
}
