//! The memory of a pass's arrays, which must be as much as each says, and of x's shape.

use crate::arrays::view::{Data, DataMut, View};
use crate::backend::Backend;
use crate::backend::kept::Kept;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// An array's memory, which must be as much as the array says, and all of which must be kept: what can make use of other arrays asks
/// [`lent_batch`].
pub(crate) fn lent<'a, T: Element, B: Backend>(
    what: &'static str,
    data: &'a (impl Data<B, Element = T> + ?Sized),
) -> Result<View<'a, T, B>> {
    if let Some(kept) = data.kept() {
        return Err(not_all_is_kept(what, kept));
    }
    lent_memory(what, data)
}

/// An input's memory, and what of it is kept, if not all.
pub(crate) fn lent_batch<T: Element, B: Backend>(
    data: &(impl Data<B, Element = T> + ?Sized),
) -> Result<(View<'_, T, B>, Option<&Kept>)> {
    let (view, kept) = (lent_memory("x", data)?, data.kept());
    if let Some(kept) = kept {
        kept.check(&view.shape)?;
    }
    Ok((view, kept))
}

fn lent_memory<'a, T: Element, B: Backend>(
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
    if let Some(kept) = output.kept() {
        return Err(not_all_is_kept(what, kept));
    }
    let view = output.lend_mut()?;
    shape.check_same(what, &view.shape)?;
    shape.check_len(what, B::len::<T>(&B::reborrow::<T>(&view.values)))?;
    Ok(view.values)
}

fn not_all_is_kept(what: &'static str, kept: &Kept) -> Error {
    Error::Value {
        what,
        found: format!("one of which not all is kept, {kept:?}"),
        needed: "an array of which all is: only the input of a layer's own passes may be another",
    }
}
