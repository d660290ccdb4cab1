//! Arrays, devices and tunings that plans are made for, at the ends of what each can be.

use crate::element::DType;
use crate::gpu::attributes::Attributes;
use crate::gpu::plan::occupancy::THREADS;
use crate::gpu::plan::split::MOST_TICKETED_CHANNELS;
use crate::gpu::plan::tests::{HOPPER, TURING};
use crate::gpu::plan::tuning::{BLOCKS_OF_THREADS, CLUSTERS, Tuning};
use crate::shape::Layout;

pub(super) const DTYPES: [DType; 3] = [DType::F16, DType::F32, DType::F64];
pub(super) const LAYOUTS: [Layout; 2] = [Layout::ChannelsFirst, Layout::ChannelsLast];

pub(super) const SHAPES: [&[usize]; 26] = [
    &[2, 1],
    &[2, 3],
    &[1, 3, 2],
    &[2, 8, 4, 4],
    &[4096, 1024],
    &[65536, 64],
    &[3, 100_003],
    &[1 << 20, 1],
    &[7, 5, 255],
    &[7, 5, 127],
    &[7, 5, 63],
    &[9, 600, 31],
    &[32, 64, 112, 112],
    &[32, 2048, 7, 7],
    &[256, 64, 112, 112],
    &[4, 32, 64, 64, 64],
    &[1, 1, 399, 401],
    &[3, 2, 211, 307],
    &[1, 2, 1 << 30],
    &[1 << 21, 2048],
    &[2, 500_000, 3],
    &[2, 300_000, 200],
    &[1000, 3, 1000],
    &[2, 131_064, 300],
    &[2, 131_065, 300],
    &[64, 400_000],
];

/// As the test host plays it: the largest clusters there are.
pub(super) const SIXTEEN: Attributes = Attributes {
    multiprocessors: 8,
    ..HOPPER
};

/// Whose GPCs have too few multiprocessors for a cluster of 16 blocks that are each alone on one.
pub(super) const SMALL_GPCS: Attributes = Attributes {
    cluster_blocks_alone: 8,
    ..HOPPER
};

pub(super) const WITHOUT_COOPERATION: Attributes = Attributes {
    cooperative: false,
    ..TURING
};

/// Everything that can be said, of each number its extremes and what lies between them.
pub(super) fn tunings() -> Vec<Tuning> {
    let numbers = |some: &[usize]| -> Vec<Option<usize>> {
        std::iter::once(None)
            .chain(some.iter().copied().map(Some))
            .collect()
    };
    let columns = numbers(&[1, 2, 5, 31, 64, 127, 128, 129, 255, THREADS]);
    let groups = [1, 7, MOST_TICKETED_CHANNELS];
    let mut tunings = vec![];
    for strategy in [
        "",
        "split",
        "on-chip",
        "ticketed",
        "pipelined",
        "persistent",
    ] {
        let strategy = match strategy {
            "" => Tuning::default(),
            strategy => Tuning::parse(&format!("strategy={strategy}")).unwrap(),
        };
        for cluster in numbers(&CLUSTERS) {
            for &columns in &columns {
                let mut tuning = strategy.clone();
                if let Some(cluster) = cluster {
                    tuning = tuning.cluster(cluster).unwrap();
                }
                if let Some(columns) = columns {
                    tuning = tuning.columns(columns).unwrap();
                }
                tunings.push(tuning);
            }
        }
        tunings.extend(groups.map(|group| strategy.clone().group(group).unwrap()));
        tunings.extend([2, 3].map(|some| strategy.clone().places(some).unwrap()));
        tunings.extend([256, 300, 4096].map(|tile| strategy.clone().tile(tile).unwrap()));
        tunings.extend(BLOCKS_OF_THREADS.map(|some| strategy.clone().threads(some).unwrap()));
    }
    tunings
}
