//! Which rows there are, and how one is measured.

use batchnorm::{Element, Error, Layout, Result, Shape};
use cuda_machine::arrays::{Arrays, Work};
use cuda_machine::machine::Machine;
use half::{bf16, f16};

use crate::gpu::timing::{Time, time};

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

pub const WORKS: [(Work, &str); 6] = [
    (Work::ForwardTraining, "forward"),
    (Work::BackwardTraining, "backward"),
    (Work::Inference, "inference"),
    (Work::BackwardFrozen, "frozen backward"),
    (Work::ForwardAddRelu, "forward, add, ReLU"),
    (Work::BackwardAddRelu, "backward, add, ReLU"),
];

/// Shapes of both layouts, by batch size; the last ones have no spatial dimensions, or are odd ones out.
pub fn shapes(batches: &[usize]) -> Vec<Shape> {
    let mut dims: Vec<Vec<usize>> = Vec::new();
    for &batch in batches {
        dims.extend(IMAGES.map(|[channels, height, width]| vec![batch, channels, height, width]));
    }
    dims.push(vec![4, 32, 64, 64, 64]);
    dims.push(vec![2, 8, 4, 4]);
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

/// One measured row.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Row {
    /// PyTorch's dimensions.
    pub dims: Vec<usize>,
    pub layout: &'static str,
    pub dtype: String,
    pub pass: &'static str,
    /// That must be read and written.
    pub bytes: usize,
    pub least: f64,
    pub seconds: f64,
    pub most: f64,
}

/// Bytes of compulsory traffic: each array that is read or written once, and a bit a value of a mask.
pub fn bytes<T: Element>(work: Work, shape: &Shape) -> usize {
    let arrays = match work {
        Work::ForwardTraining | Work::Inference => 2,
        Work::ForwardAddRelu | Work::BackwardTraining | Work::BackwardFrozen => 3,
        Work::BackwardAddRelu => 4,
    };
    let mask = matches!(work, Work::ForwardAddRelu | Work::BackwardAddRelu);
    arrays * shape.len() * size_of::<T>() + if mask { shape.len() / 8 } else { 0 }
}

/// All passes over arrays of a shape. A shape that finds no memory is a message instead.
pub fn measure<T: Element>(machine: &Machine, shape: Shape) -> Result<Vec<Row>, String> {
    let sets =
        sets::<T>(machine, &shape).map_err(|error| format!("{shape}, {}: {error}", T::DTYPE))?;
    let mut sets = sets;
    let measured = WORKS.iter().map(|&(work, pass)| {
        let time = time_of(machine, work, &mut sets)?;
        Ok(Row {
            dims: shape.logical_dims(),
            layout: match (shape.spatial(), shape.layout()) {
                (1, _) => "(N, C)",
                (_, Layout::ChannelsFirst) => "channels first",
                (_, Layout::ChannelsLast) => "channels last",
            },
            dtype: T::DTYPE.to_string(),
            pass,
            bytes: bytes::<T>(work, &shape),
            least: time.least,
            seconds: time.median,
            most: time.most,
        })
    });
    let rows: Result<Vec<Row>> = measured.collect();
    rows.map_err(|error| format!("{shape}, {}: {error}", T::DTYPE))
}

/// So many sets of arrays that a call finds nothing of its own in the cache.
fn sets<T: Element>(machine: &Machine, shape: &Shape) -> Result<Vec<Arrays<T>>> {
    const MOST: usize = 64;
    let cache = 3 * machine.gpu.attributes().l2_bytes as usize;
    let of_one = bytes::<T>(Work::ForwardTraining, shape);
    let count = (1 + cache / of_one).min(MOST);
    let mut sets = Vec::new();
    for number in 0..count as u64 {
        let mut arrays = Arrays::new(&machine.gpu, *shape, 100 * number + 1)?;
        // Statistics and a mask for the passes that read them; and every kernel has then run once.
        for (work, _) in WORKS {
            work.start(&machine.gpu, &mut arrays)?;
        }
        sets.push(arrays);
    }
    machine
        .stream()
        .synchronize()
        .map_err(|error| Error::Driver {
            operation: "run a pass",
            reason: error.to_string(),
        })?;
    Ok(sets)
}

fn time_of<T: Element>(machine: &Machine, work: Work, sets: &mut [Arrays<T>]) -> Result<Time> {
    // A few milliseconds at 3 TB/s, and every set as often as every other.
    let calls = (10_000_000_000 / bytes::<T>(work, &sets[0].shape)).clamp(10, 200);
    let calls = calls.next_multiple_of(sets.len());
    let count = sets.len();
    time(machine, calls, |call| {
        work.start(&machine.gpu, &mut sets[call % count])
    })
}

/// All rows of a shape in the three data types of the table.
pub fn of_shape(machine: &Machine, shape: Shape) -> [Result<Vec<Row>, String>; 3] {
    [
        measure::<f32>(machine, shape),
        measure::<f16>(machine, shape),
        measure::<bf16>(machine, shape),
    ]
}
