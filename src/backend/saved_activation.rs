//! What a forward pass saves of an activation for the backward pass: to be written, to be kept, to be read.

use crate::error::Result;

/// What the backward pass needs of the activation. To be written the mask is `&mut` and the values are a slice for
/// writing; to be read `&` and a slice for reading; to be kept they are owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SavedActivation<M, V> {
    /// Nothing: v is recomputed from x.
    Nothing,
    /// One bit a value: whether v, rounded as it was stored, is above zero, and of ReLU6 below six.
    Mask(M),
    /// v, with the residual, before the activation.
    PreActivation(V),
    /// Nothing, for y is kept in x's place: what a backward step calls x is y then, of which v and x̂ are found
    /// ([`Activation::has_inverse`](super::Activation::has_inverse)). After a residual that is read too, by the backward pass alone.
    Output(Option<V>),
}

impl<M, V> SavedActivation<M, V> {
    /// Which it is.
    pub fn kind(&self) -> SavedActivation<(), ()> {
        match self {
            SavedActivation::Nothing => SavedActivation::Nothing,
            SavedActivation::Mask(_) => SavedActivation::Mask(()),
            SavedActivation::PreActivation(_) => SavedActivation::PreActivation(()),
            SavedActivation::Output(residual) => {
                SavedActivation::Output(residual.as_ref().map(|_| ()))
            }
        }
    }

    /// Of each by reference.
    pub fn as_ref(&self) -> SavedActivation<&M, &V> {
        match self {
            SavedActivation::Nothing => SavedActivation::Nothing,
            SavedActivation::Mask(mask) => SavedActivation::Mask(mask),
            SavedActivation::PreActivation(values) => SavedActivation::PreActivation(values),
            SavedActivation::Output(residual) => SavedActivation::Output(residual.as_ref()),
        }
    }

    /// Of each by mutable reference.
    pub fn as_mut(&mut self) -> SavedActivation<&mut M, &mut V> {
        match self {
            SavedActivation::Nothing => SavedActivation::Nothing,
            SavedActivation::Mask(mask) => SavedActivation::Mask(mask),
            SavedActivation::PreActivation(values) => SavedActivation::PreActivation(values),
            SavedActivation::Output(residual) => SavedActivation::Output(residual.as_mut()),
        }
    }

    /// With the mask and the values made something else, or the error of that.
    pub(crate) fn try_map<N, W>(
        self,
        mask: impl FnOnce(M) -> Result<N>,
        values: impl FnOnce(V) -> Result<W>,
    ) -> Result<SavedActivation<N, W>> {
        Ok(match self {
            SavedActivation::Nothing => SavedActivation::Nothing,
            SavedActivation::Mask(saved) => SavedActivation::Mask(mask(saved)?),
            SavedActivation::PreActivation(saved) => SavedActivation::PreActivation(values(saved)?),
            SavedActivation::Output(residual) => {
                SavedActivation::Output(residual.map(values).transpose()?)
            }
        })
    }

    /// With the mask made something else.
    pub(crate) fn map_mask<N>(self, mask: impl FnOnce(M) -> N) -> SavedActivation<N, V> {
        match self {
            SavedActivation::Nothing => SavedActivation::Nothing,
            SavedActivation::Mask(saved) => SavedActivation::Mask(mask(saved)),
            SavedActivation::PreActivation(values) => SavedActivation::PreActivation(values),
            SavedActivation::Output(residual) => SavedActivation::Output(residual),
        }
    }

    /// What a forward pass writes: the two, of which one at most is there.
    pub(crate) fn split(self) -> (Option<M>, Option<V>) {
        match self {
            SavedActivation::Nothing | SavedActivation::Output(_) => (None, None),
            SavedActivation::Mask(mask) => (Some(mask), None),
            SavedActivation::PreActivation(values) => (None, Some(values)),
        }
    }

    /// With the values made something else.
    pub(crate) fn map_values<W>(self, values: impl FnOnce(V) -> W) -> SavedActivation<M, W> {
        match self {
            SavedActivation::Nothing => SavedActivation::Nothing,
            SavedActivation::Mask(mask) => SavedActivation::Mask(mask),
            SavedActivation::PreActivation(saved) => SavedActivation::PreActivation(values(saved)),
            SavedActivation::Output(residual) => SavedActivation::Output(residual.map(values)),
        }
    }
}
