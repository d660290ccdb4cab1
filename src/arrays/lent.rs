//! The memory of a pass's arrays, which must be as much as each says, and of x's shape.

use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::element::Element;
use crate::error::Result;
use crate::shape::Shape;

/// An array's memory, which must be as much as the array says.
pub(crate) fn lent<'a, T: Element, B: Backend>(
    what: &'static str,
    data: &'a (impl Data<B, Element = T> + ?Sized),
) -> Result<View<'a, T, B>> {
    let view = data.lend()?;
    view.shape.check_len(what, B::len::<T>(&view.values))?;
    Ok(view)
}

/// The residual's memory, which must be that of x.
pub(crate) fn residual_slice<'a, T: Element, B: Backend>(
    shape: &Shape,
    residual: Option<&'a dyn Data<B, Element = T>>,
) -> Result<Option<B::Slice<'a, T>>> {
    let Some(residual) = residual else {
        return Ok(None);
    };
    let view = lent("the residual", residual)?;
    shape.check_same("the residual", &view.shape)?;
    Ok(Some(view.values))
}

/// An output's memory, which must be that of x.
pub(crate) fn output_slice<'a, T: Element, B: Backend>(
    shape: &Shape,
    what: &'static str,
    output: &'a mut (impl DataMut<B, Element = T> + ?Sized),
) -> Result<B::SliceMut<'a, T>> {
    let view = output.lend_mut()?;
    shape.check_same(what, &view.shape)?;
    shape.check_len(what, B::len::<T>(&B::reborrow::<T>(&view.values)))?;
    Ok(view.values)
}
