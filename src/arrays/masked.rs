//! An array of which not all is kept, as what a pass reads.

use crate::arrays::view::{Data, DataMut, View, ViewMut};
use crate::backend::Backend;
use crate::backend::kept::Kept;
use crate::error::Result;

/// An input, and what of it is kept: made by [`Kept::of`], and given to a pass of a [`BatchNorm`](crate::BatchNorm) in the input's place.
/// What is made of the input, y and dx, is zero at the other places. Passes that have no meaning for this refuse it.
#[derive(Debug, Clone)]
pub struct Masked<X> {
    x: X,
    kept: Kept,
}

impl Kept {
    /// An input, of which this is kept.
    pub fn of<X>(&self, x: X) -> Masked<X> {
        Masked {
            x,
            kept: self.clone(),
        }
    }
}

impl<X> Masked<X> {
    /// The input.
    pub fn input(&self) -> &X {
        &self.x
    }

    /// Gives the input back.
    pub fn into_input(self) -> X {
        self.x
    }
}

impl<X: Data<B>, B: Backend> Data<B> for Masked<X> {
    type Element = X::Element;
    fn lend(&self) -> Result<View<'_, X::Element, B>> {
        self.x.lend()
    }
    fn kept(&self) -> Option<&Kept> {
        Some(&self.kept)
    }
}

impl<X: DataMut<B>, B: Backend> DataMut<B> for Masked<X> {
    fn lend_mut(&mut self) -> Result<ViewMut<'_, X::Element, B>> {
        self.x.lend_mut()
    }
}
