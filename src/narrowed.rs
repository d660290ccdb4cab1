//! Values brought to a type of fewer bits, none of which may become infinite on the way.

use crate::allocate::collected;
use crate::error::{Error, Result};
use crate::numeric::Numeric;

/// The nearest values of a type. `beyond` is the error for one that is finite and beyond the type's range, at that index.
pub(crate) fn narrowed<T: Numeric>(
    values: impl ExactSizeIterator<Item = f64>,
    beyond: impl FnOnce(usize, f64) -> Error,
) -> Result<Vec<T>> {
    let mut first = None;
    let nearest = values.enumerate().map(|(index, value)| {
        let nearest = T::nearest(value);
        if value.is_finite() && !nearest.value().is_finite() {
            first.get_or_insert((index, value));
        }
        nearest
    });
    let nearest = collected(nearest)?;
    match first {
        None => Ok(nearest),
        Some((index, value)) => Err(beyond(index, value)),
    }
}
