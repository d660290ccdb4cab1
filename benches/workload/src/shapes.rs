//! What is measured: the shapes, what is in the arrays, and how many arrays it takes that none is found in cache.

use batchnorm::Element;
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

/// (N, C, spatial...) of the convolutional networks, the dense layers and the volumes that people train.
pub const SHAPES: [&[usize]; 13] = [
    &[32, 64, 112, 112],
    &[32, 64, 56, 56],
    &[32, 256, 56, 56],
    &[32, 128, 28, 28],
    &[32, 512, 28, 28],
    &[32, 256, 14, 14],
    &[32, 1024, 14, 14],
    &[32, 512, 7, 7],
    &[32, 2048, 7, 7],
    &[4096, 1024],
    &[65536, 64],
    &[4, 32, 32, 64, 64],
    &[8, 16, 8, 8],
];

/// x, dy, y or dx, and the residual or its gradient.
pub const ARRAYS: usize = 4;
/// Up to here, all arrays of a problem fit a core's own cache, and are meant to be found there.
const CACHED: usize = 1 << 20;
/// What is touched between two visits of the same arrays: more than any cache keeps.
const BETWEEN: usize = 512 << 20;

/// How many sets of arrays of `bytes` each take turns, one a call. A call touches two arrays of its set at least.
pub fn sets(bytes: usize) -> usize {
    if ARRAYS * bytes <= CACHED {
        1
    } else {
        1 + BETWEEN.div_ceil(2 * bytes)
    }
}

/// Irregular values, with a mean and a deviation: 4096 of them, over and over.
pub fn values<T: Element>(len: usize, seed: u64) -> Vec<T> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let pattern: Vec<T> = (0..4096)
        .map(|_| T::from_f64((random.next_u64() >> 40) as f64 / f64::from(1 << 23) - 0.7))
        .collect();
    (0..len)
        .map(|i| pattern[(i * 7 + i / 4096) % 4096])
        .collect()
}

/// Dimensions as a word: `32x64x56x56`.
pub fn name(dims: &[usize]) -> String {
    let dims: Vec<_> = dims.iter().map(ToString::to_string).collect();
    dims.join("x")
}
