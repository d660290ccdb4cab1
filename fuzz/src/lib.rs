//! What the fuzz targets make of bytes.

use arbitrary::{Arbitrary, Result, Unstructured};
use batchnorm::{Activation, Layout, Shape};

/// A shape of at most so many values, in any layout; some dimensions may be zero.
pub fn shape(bytes: &mut Unstructured<'_>, most: usize) -> Result<Shape> {
    let rank = bytes.int_in_range(2..=6)?;
    let mut dims = Vec::new();
    let mut room = most;
    for _ in 0..rank {
        let size = bytes.int_in_range(0..=room.min(70))?;
        room /= size.max(1);
        dims.push(size);
    }
    let layout = if bool::arbitrary(bytes)? {
        Layout::ChannelsFirst
    } else {
        Layout::ChannelsLast
    };
    Shape::new(&dims, layout).map_err(|_| arbitrary::Error::IncorrectFormat)
}

/// Any activation there is.
pub fn activation(bytes: &mut Unstructured<'_>) -> Result<Activation> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 => Activation::None,
        1 => Activation::Relu,
        2 => Activation::LeakyRelu { slope: 0.25 },
        _ => Activation::Silu,
    })
}
