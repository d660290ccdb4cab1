//! The fuzz targets, each a function of bytes in a file of its name: `fuzz_targets/` gives them to the fuzzer, `tests/corpus.rs` to
//! `cargo test`.

pub mod checkpoints;
pub mod conversions;
pub mod passes;
pub mod replay;
pub mod steps;
pub mod tunings;

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use batchnorm::{Activation, Cpu, Layout, Shape};

/// One thread of the processor for all inputs: to start a thread takes longer than most of them do.
pub static CPU: LazyLock<Cpu> = LazyLock::new(|| Cpu::with_threads(1).expect("a thread"));

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
    let layout = layout(bytes)?;
    Shape::new(&dims, layout).map_err(|_| arbitrary::Error::IncorrectFormat)
}

/// Either layout.
pub fn layout(bytes: &mut Unstructured<'_>) -> Result<Layout> {
    Ok(*bytes.choose(&[Layout::ChannelsFirst, Layout::ChannelsLast])?)
}

/// Any activation there is.
pub fn activation(bytes: &mut Unstructured<'_>) -> Result<Activation> {
    bytes.choose_iter(Activation::all(0.25, 0.5))
}
