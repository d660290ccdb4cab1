//! The sets of rows that can be measured.

use std::str::FromStr;

use batchnorm::{DType, Shape};
use cuda_machine::arrays::Work;

use crate::table;

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

fn first(dims: &[usize]) -> Shape {
    Shape::channels_first(dims).expect("a shape that is allowed")
}

/// Of the same dimensions in PyTorch's order.
fn last(dims: &[usize]) -> Shape {
    let mut last = dims.to_vec();
    last[1..].rotate_left(1);
    Shape::channels_last(&last).expect("a shape that is allowed")
}

/// The table's shapes, those first that differ most: should the time end, larger batches of the same images are what lacks.
fn table_by_worth() -> Vec<Shape> {
    let mut shapes = table::shapes(&[32]);
    let larger = table::shapes(&[128, 256]);
    let larger: Vec<_> = larger
        .into_iter()
        .filter(|shape| !shapes.contains(shape))
        .collect();
    shapes.extend(larger);
    shapes
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
            Self::Table => table_by_worth()
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
