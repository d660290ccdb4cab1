//! Shapes that hurt: lane edges, primes, one of anything, and every way work is cut.

use batchnorm::{Layout, Shape};

/// Small shapes around the 16 lanes and the 64 values where the walk changes, in both layouts.
pub fn small() -> Vec<Shape> {
    let mut shapes = vec![];
    for spatial in [
        1, 2, 7, 15, 16, 17, 31, 33, 49, 63, 64, 65, 67, 127, 129, 196, 257,
    ] {
        for channels in [1, 3, 16, 17] {
            for batch in [1, 2, 5] {
                if batch * spatial < 2 {
                    continue;
                }
                for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
                    shapes.push(three_dimensional(batch, channels, spatial, layout));
                }
            }
        }
    }
    shapes
}

/// A few shapes of each rank.
pub fn ranks() -> Vec<Shape> {
    let mut shapes = vec![];
    for dims in [
        &[9usize, 5][..],
        &[4, 7, 6],
        &[3, 5, 4, 11],
        &[2, 3, 3, 4, 5],
    ] {
        shapes.push(Shape::channels_first(dims).unwrap());
        shapes.push(Shape::channels_last(dims).unwrap());
    }
    shapes
}

/// Large enough that work is cut in each of the ways there are, and shared among threads.
pub fn large() -> Vec<Shape> {
    vec![
        Shape::channels_first(&[4, 40, 33, 35]).unwrap(),
        Shape::channels_first(&[6, 24, 40, 41]).unwrap(),
        Shape::channels_first(&[5, 60, 27, 29]).unwrap(),
        Shape::channels_first(&[34, 60, 14, 14]).unwrap(),
        Shape::channels_first(&[33, 80, 7, 7]).unwrap(),
        Shape::channels_first(&[35, 700, 7, 7]).unwrap(),
        Shape::channels_first(&[3, 2, 211, 307]).unwrap(),
        Shape::channels_first(&[1, 1, 399, 401]).unwrap(),
        Shape::channels_first(&[4001, 3, 11]).unwrap(),
        Shape::channels_last(&[4, 33, 35, 40]).unwrap(),
        Shape::channels_last(&[40_003, 3]).unwrap(),
        Shape::channels_last(&[5003, 67]).unwrap(),
        Shape::channels_last(&[40_008, 6]).unwrap(),
        Shape::channels_last(&[131, 2051]).unwrap(),
        Shape::channels_last(&[3, 100_003]).unwrap(),
        Shape::channels_last(&[2, 77, 1031]).unwrap(),
    ]
}

/// Large enough, for values of so many bytes, that outputs are written past the caches: odd planes, narrow planes, long
/// rows of channels.
pub fn streamed(bytes: usize) -> Vec<Shape> {
    let values = (9usize << 19) / bytes; // 4.5 MB
    vec![
        Shape::channels_first(&[values.div_ceil(17 * 151 * 149), 17, 151, 149]).unwrap(),
        Shape::channels_first(&[values.div_ceil(300 * 49), 300, 49]).unwrap(),
        Shape::channels_last(&[values.div_ceil(2051), 2051]).unwrap(),
    ]
}

pub fn three_dimensional(batch: usize, channels: usize, spatial: usize, layout: Layout) -> Shape {
    match layout {
        Layout::ChannelsFirst => Shape::channels_first(&[batch, channels, spatial]).unwrap(),
        Layout::ChannelsLast => Shape::channels_last(&[batch, spatial, channels]).unwrap(),
    }
}
