//! What waiting costs, and which clusters a GPU takes.

use batchnorm::Result;
use cuda_machine::machine::Machine;

use crate::gpu::ceilings::Ceiling;
use crate::gpu::own_kernels::{BarrierKernels, Blocks};
use crate::gpu::timing::once;

/// Barriers of a launch.
const BARRIERS: u32 = 1000;

/// A cluster that was asked about.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Cluster {
    pub blocks: u32,
    pub threads: u32,
    pub shared_bytes: u32,
    /// How many run at once, or why none does.
    pub at_once: std::result::Result<i32, String>,
    /// Whether one could be launched, or why not.
    pub launched: std::result::Result<(), String>,
}

/// Asks about every size of a cluster, with few and many threads and little and much shared memory, and launches each.
///
/// # Errors
/// [`KernelsNotBuilt`](batchnorm::Error::KernelsNotBuilt), or where the kernels cannot be loaded: before Hopper.
pub fn clusters(machine: &Machine, mut tell: impl FnMut(Cluster)) -> Result<()> {
    let kernels = BarrierKernels::load(machine)?;
    let of = machine.gpu.attributes();
    // Nothing, what two blocks of a multiprocessor can have, and what one can.
    let shared = [
        0,
        of.shared_per_multiprocessor / 2 - 2048,
        of.shared_per_block,
    ];
    for cluster in [1, 2, 4, 8, 16] {
        for threads in [256, 512] {
            for shared_bytes in shared {
                let blocks = Blocks {
                    count: cluster,
                    threads,
                    cluster,
                    shared_bytes,
                    cooperative: false,
                };
                let words = |error: batchnorm::Error| error.to_string();
                tell(Cluster {
                    blocks: cluster,
                    threads,
                    shared_bytes,
                    at_once: kernels.clusters_at_once(blocks).map_err(words),
                    launched: once(machine, || kernels.cluster_barriers(blocks, 1))
                        .map(drop)
                        .map_err(words),
                });
            }
        }
    }
    Ok(())
}

/// Seconds of a barrier: of all blocks with one and with two on every multiprocessor, and of clusters.
///
/// # Errors
/// As [`clusters`].
pub fn latencies(machine: &Machine, mut tell: impl FnMut(Ceiling)) -> Result<()> {
    let kernels = BarrierKernels::load(machine)?;
    let multiprocessors = machine.gpu.attributes().multiprocessors;
    for of_each in [1, 2] {
        let blocks = Blocks {
            count: of_each * multiprocessors,
            threads: 256,
            cluster: 1,
            shared_bytes: 0,
            cooperative: true,
        };
        let seconds = of_one(machine, |times| kernels.grid_barriers(blocks, times))?;
        let what = format!("a barrier of {} blocks", blocks.count);
        tell(Ceiling::seconds(what, seconds));
    }
    for cluster in [2, 4, 8, 16] {
        let blocks = Blocks {
            count: cluster,
            threads: 256,
            cluster,
            shared_bytes: 0,
            cooperative: false,
        };
        // Some GPUs have no clusters of 16, which `clusters` tells.
        if let Ok(seconds) = of_one(machine, |times| kernels.cluster_barriers(blocks, times)) {
            let what = format!("a barrier of a cluster of {cluster}");
            tell(Ceiling::seconds(what, seconds));
        }
    }
    Ok(())
}

/// What one of many barriers adds to a launch.
fn of_one(machine: &Machine, launch: impl Fn(u32) -> Result<()>) -> Result<f64> {
    let mut differences = Vec::new();
    for _ in 0..11 {
        let few = once(machine, || launch(1))?;
        let many = once(machine, || launch(1 + BARRIERS))?;
        differences.push((many - few) / f64::from(BARRIERS));
    }
    differences.sort_by(f64::total_cmp);
    Ok(differences[differences.len() / 2])
}
