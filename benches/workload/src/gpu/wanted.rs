//! The sets of rows that can be measured.

use std::str::FromStr;

use batchnorm::{DType, Layout, Shape};
use cuda_machine::arrays::Work;

/// The passes of a row, by their names.
pub const WORKS: [(Work, &str); 6] = [
    (Work::ForwardTraining, "forward"),
    (Work::BackwardTraining, "backward"),
    (Work::Inference, "inference"),
    (Work::BackwardFrozen, "frozen backward"),
    (Work::ForwardAddRelu, "forward, add, ReLU"),
    (Work::BackwardAddRelu, "backward, add, ReLU"),
];

/// Rows that have their arrays in common.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub shape: Shape,
    pub dtype: DType,
    pub works: Vec<(Work, &'static str)>,
}

/// A set of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// One row for each thing that there is to know first.
    Twelve,
    /// Every shape, layout, type and pass; the batches of 32 first.
    Table,
    /// So small that the processor can stand in for a GPU.
    Small,
}

impl FromStr for Rows {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "twelve" => Ok(Self::Twelve),
            "table" => Ok(Self::Table),
            "small" => Ok(Self::Small),
            _ => Err(format!("the rows are twelve, table or small, got {name:?}")),
        }
    }
}

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

fn first(dims: &[usize]) -> Shape {
    Shape::channels_first(dims).expect("a shape that is allowed")
}

/// Of the same dimensions in PyTorch's order.
fn last(dims: &[usize]) -> Shape {
    let mut last = dims.to_vec();
    last[1..].rotate_left(1);
    Shape::channels_last(&last).expect("a shape that is allowed")
}

impl Rows {
    /// All of them.
    pub fn wanted(self) -> Vec<Wanted> {
        let with = |shape, dtype, count: usize| Wanted {
            shape,
            dtype,
            works: WORKS[..count].to_vec(),
        };
        match self {
            // Far more than the cache, about as much, and far less; planes and columns; few channels of large planes.
            Self::Twelve => vec![
                with(first(&[32, 64, 112, 112]), DType::F32, 2),
                with(last(&[32, 256, 56, 56]), DType::F16, 2),
                with(first(&[32, 1024, 14, 14]), DType::F16, 2),
                with(last(&[32, 1024, 14, 14]), DType::F16, 2),
                with(last(&[32, 512, 7, 7]), DType::F32, 2),
                with(first(&[20, 6, 256, 256]), DType::F16, 2),
            ],
            Self::Table => table()
                .into_iter()
                .flat_map(|shape| {
                    [DType::F32, DType::F16, DType::BF16].map(|dtype| with(shape, dtype, 6))
                })
                .collect(),
            Self::Small => vec![
                with(first(&[2, 8, 4, 4]), DType::F32, 6),
                with(last(&[2, 8, 4, 4]), DType::F16, 6),
            ],
        }
    }
}

/// Shapes of both layouts; the last ones have few channels, no spatial dimensions, or are odd ones out.
fn table() -> Vec<Shape> {
    let mut dims: Vec<Vec<usize>> = Vec::new();
    for batch in [32, 128, 256] {
        dims.extend(IMAGES.map(|[channels, height, width]| vec![batch, channels, height, width]));
    }
    // Few channels of large planes.
    dims.push(vec![20, 6, 256, 256]);
    dims.push(vec![16, 2, 112, 112, 112]);
    dims.push(vec![16, 64, 256, 256]);
    dims.push(vec![4, 32, 64, 64, 64]);
    dims.push(vec![2, 8, 4, 4]);
    let both = dims.iter().flat_map(|dims| [first(dims), last(dims)]);
    let rows = [[4096, 1024], [65_536, 64]].map(|dims| Shape::channels_last(&dims));
    both.chain(rows.map(|shape| shape.expect("a shape that is allowed")))
        .collect()
}

/// What a row's layout is called.
pub fn layout_name(shape: &Shape) -> &'static str {
    match (shape.spatial(), shape.layout()) {
        (1, _) => "(N, C)",
        (_, Layout::ChannelsFirst) => "channels first",
        (_, Layout::ChannelsLast) => "channels last",
    }
}

/// PyTorch's dimensions, as a word: `32x64x56x56`.
pub fn dims_name(shape: &Shape) -> String {
    crate::shapes::name(&shape.logical_dims())
}
