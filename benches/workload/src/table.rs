//! The rows of the table of GPUs.

use batchnorm::{Layout, Shape};

/// Dimensions after N of ResNet's layers: C, H, W.
const IMAGES: [[usize; 3]; 9] = [
    [64, 112, 112],
    [64, 56, 56],
    [256, 56, 56],
    [128, 28, 28],
    [512, 28, 28],
    [256, 14, 14],
    [1024, 14, 14],
    [512, 7, 7],
    [2048, 7, 7],
];

/// Few channels with large planes: segmentation, volumes, and a published comparison's 20x6x65536.
const LARGE_PLANES: [&[usize]; 5] = [
    &[20, 6, 65536],
    &[16, 2, 112, 112, 112],
    &[16, 8, 112, 112, 112],
    &[16, 16, 112, 112, 112],
    &[16, 64, 256, 256],
];

/// Shapes of both layouts, by batch size; the last ones have no spatial dimensions, or are odd ones out.
pub fn shapes(batches: &[usize]) -> Vec<Shape> {
    let mut dims: Vec<Vec<usize>> = Vec::new();
    for &batch in batches {
        dims.extend(IMAGES.map(|[channels, height, width]| vec![batch, channels, height, width]));
    }
    dims.push(vec![4, 32, 64, 64, 64]);
    dims.push(vec![2, 8, 4, 4]);
    dims.extend(LARGE_PLANES.map(<[usize]>::to_vec));
    let both = dims.iter().flat_map(|dims| {
        let mut last = dims.clone();
        last[1..].rotate_left(1);
        [Shape::channels_first(dims), Shape::channels_last(&last)]
    });
    let rows = [[4096, 1024], [65_536, 64]].map(|dims| Shape::channels_last(&dims));
    both.chain(rows)
        .map(|shape| shape.expect("a shape that is allowed"))
        .collect()
}

/// How a row names a shape's layout.
pub fn layout(shape: &Shape) -> &'static str {
    match (shape.spatial(), shape.layout()) {
        (1, _) => "(N, C)",
        (_, Layout::ChannelsFirst) => "channels first",
        (_, Layout::ChannelsLast) => "channels last",
    }
}

/// How a row names a shape.
pub fn name(shape: &Shape) -> String {
    let dims: Vec<String> = shape.logical_dims().iter().map(usize::to_string).collect();
    dims.join("x")
}
