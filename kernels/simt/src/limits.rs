//! What a real device would refuse to launch.

use batchnorm::gpu::Attributes;

use crate::grid::Grid;
use crate::host::HostKernel;

/// Shared memory that each block costs beside its own, since sm_80.
const RESERVED_SHARED: u32 = 1 << 10;

/// Says why the device would refuse the launch, if it would.
pub(super) fn check(device: &Attributes, kernel: &HostKernel, grid: &Grid) -> Result<(), String> {
    let Grid {
        blocks,
        threads,
        cluster,
        shared_bytes,
        ..
    } = *grid;
    if blocks == 0 || blocks > i32::MAX.unsigned_abs() {
        return Err(format!("a grid has 1 to {} blocks, got {blocks}", i32::MAX));
    }
    if threads == 0 || threads > kernel.threads {
        return Err(format!(
            "its blocks have 1 to {} threads, got {threads}",
            kernel.threads
        ));
    }
    if cluster == 0 || !blocks.is_multiple_of(cluster) {
        return Err(format!(
            "clusters have at least 1 block and divide the grid, got {cluster} of {blocks} blocks"
        ));
    }
    if shared_bytes > device.shared_per_block {
        let most = device.shared_per_block;
        return Err(format!(
            "a block has at most {most} bytes of shared memory, got {shared_bytes}"
        ));
    }
    room(device, kernel, grid)
}

/// Says why the device could not have a cluster, or all blocks of a cooperative launch, at once.
pub(super) fn room(device: &Attributes, kernel: &HostKernel, grid: &Grid) -> Result<(), String> {
    let Grid {
        blocks,
        cluster,
        shared_bytes,
        cooperative,
        ..
    } = *grid;
    let alone = 2 * (shared_bytes + RESERVED_SHARED) > device.shared_per_multiprocessor;
    let most = if alone {
        device.cluster_blocks_alone
    } else {
        device.cluster_blocks
    };
    if cluster > most {
        return Err(format!(
            "clusters of such blocks have at most {most}, got {cluster}"
        ));
    }
    let room = device.multiprocessors * resident_per_multiprocessor(device, kernel, grid);
    if cooperative && (!device.cooperative || blocks > room) {
        return Err(format!(
            "{blocks} blocks must run at once, but the device has room for {room}"
        ));
    }
    Ok(())
}

/// Blocks of a launch that fit a multiprocessor at least, whatever registers the compiler gives.
fn resident_per_multiprocessor(device: &Attributes, kernel: &HostKernel, grid: &Grid) -> u32 {
    let reserved = if device.architecture >= 80 {
        RESERVED_SHARED
    } else {
        0
    };
    let by_shared = device
        .shared_per_multiprocessor
        .checked_div(grid.shared_bytes + reserved);
    let by_threads = device.threads_per_multiprocessor / grid.threads.next_multiple_of(32);
    kernel
        .blocks_per_multiprocessor
        .min(by_threads)
        .min(by_shared.unwrap_or(u32::MAX))
}
