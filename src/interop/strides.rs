//! The shape of an array that is given by its logical axes and strides, as `ndarray` and candle give theirs.

use crate::error::{Error, Result};
use crate::shape::{Layout, Shape};

/// The shape of an array whose logical axes are (N, C, spatial...), by its strides.
///
/// # Errors
/// [`Error::Strides`] if the values are not one run of memory in either order, and what [`Shape::new`] refuses.
pub(crate) fn shape_of(dims: &[usize], strides: &[isize]) -> Result<Shape> {
    let mut channels_last = dims.to_vec();
    let mut channels_last_strides = strides.to_vec();
    if dims.len() > 1 {
        channels_last[1..].rotate_left(1);
        channels_last_strides[1..].rotate_left(1);
    }
    if is_contiguous(dims, strides) {
        Shape::new(dims, Layout::ChannelsFirst)
    } else if is_contiguous(&channels_last, &channels_last_strides) {
        Shape::new(&channels_last, Layout::ChannelsLast)
    } else {
        Err(Error::Strides {
            dims: dims.to_vec(),
            strides: strides.to_vec(),
        })
    }
}

/// Whether the axes follow one another in memory, without gaps. The stride of an axis of one value says nothing.
fn is_contiguous(dims: &[usize], strides: &[isize]) -> bool {
    let mut step = 1;
    if dims.contains(&0) {
        return true;
    }
    for (&dim, &stride) in dims.iter().zip(strides).rev() {
        if dim > 1 && stride != step {
            return false;
        }
        step *= dim.cast_signed();
    }
    true
}
