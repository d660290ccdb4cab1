//! The processor: every SIMD level there is, on one thread and on several, against one table.

use std::path::Path;

use batchnorm::{Cpu, Level, Shape};
use bits_suite::cases::{self, Scope};
use bits_suite::table::{self, Run};

/// Levels that round a·b + c once agree in every bit; plain Rust and WebAssembly round the product too.
const COLUMNS: [&str; 2] = ["fused_multiply_add", "portable"];

/// WebAssembly has none but the caller's.
const THREADS: &[usize] = if cfg!(target_family = "wasm") {
    &[1]
} else {
    &[1, 2, 3]
};

#[test]
fn no_bit_has_changed() {
    let mut runs = vec![];
    for level in Level::available() {
        for &threads in THREADS {
            let cpu = Cpu::with_threads(threads).unwrap().at_level(level).unwrap();
            runs.push(Run {
                by: cpu.to_string(),
                column: COLUMNS[usize::from(matches!(level, Level::Portable | Level::Simd128))],
                checksums: cases::checksums(&cpu, &SCOPE),
            });
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bits/cpu.txt");
    table::hold(&path, &COLUMNS, &runs);
}

/// Shapes by how the processor goes through them: see `src/cpu/tiling/view.rs` and `src/cpu/tiling/plan.rs`.
const SCOPE: Scope = Scope {
    in_every_pass: small,
    in_some_passes: large,
    with_unusual_data: odd,
    in_separate_steps: some_of_each,
};

/// One tile each: next to nothing, odd planes, short rows that are joined, planes gone through along rows and one by one.
fn small() -> Vec<Shape> {
    vec![
        first(&[5, 1]),
        first(&[9, 5]),
        last(&[66, 67]),
        first(&[2, 3, 7, 7]),
        last(&[2, 7, 7, 3]),
        first(&[5, 17, 5, 3]),
        last(&[5, 5, 3, 17]),
        first(&[3, 16, 64]),
        first(&[3, 5, 28, 28]),
        first(&[5, 3, 27, 29]),
        last(&[3, 9, 8, 40]),
        first(&[2, 2, 3, 7, 19]),
    ]
}

/// Odd in every dimension.
fn odd() -> Vec<Shape> {
    vec![
        first(&[5, 7, 13, 11]),
        last(&[5, 13, 11, 7]),
        last(&[55, 37]),
    ]
}

/// Planes along rows and one by one, joined rows, rows of columns; and with channels that are cut.
fn some_of_each() -> Vec<Shape> {
    vec![
        first(&[5, 17, 5, 3]),
        last(&[2, 7, 7, 3]),
        first(&[3, 5, 28, 28]),
        last(&[66, 67]),
        first(&[2, 1, 211, 307]),
        last(&[1001, 72]),
    ]
}

/// Several tiles each, most of them more than one thread's worth.
fn large(value_bytes: usize) -> Vec<Shape> {
    // 2.1 MB: from here on, outputs are written past the caches.
    let streamed = (21 << 20) / 10 / value_bytes;
    vec![
        // Whole channels: wide planes, planes along rows, narrow ones.
        first(&[5, 60, 27, 29]),
        first(&[9, 70, 14, 14]),
        first(&[33, 80, 7, 7]),
        // Channels in parts: of whole planes, and of parts of a plane.
        first(&[3, 2, 211, 307]),
        first(&[1, 1, 399, 401]),
        // Columns: few rows of many, many rows of some, rows that are joined, rows that no tile may split.
        last(&[33, 2056]),
        last(&[2003, 72]),
        last(&[30_001, 3]),
        last(&[1501, 67]),
        first(&[streamed.div_ceil(17 * 151 * 149), 17, 151, 149]),
        last(&[streamed.div_ceil(2051), 2051]),
    ]
}

fn first(dims: &[usize]) -> Shape {
    Shape::channels_first(dims).unwrap()
}

fn last(dims: &[usize]) -> Shape {
    Shape::channels_last(dims).unwrap()
}
