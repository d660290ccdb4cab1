//! How many blocks a cluster may have, asked of the device for the kernels as the plan launches them.

use cudarc::driver::{CudaStream, DriverError, sys};

use crate::cuda::driver_error::driver_error;
use crate::cuda::kernels::Kernels;
use crate::cuda::launch;
use crate::error::Result;
use crate::gpu::attributes::Attributes;
use crate::gpu::kernel::{self, Kernel, Strategy};
use crate::gpu::launch::Launch;
use crate::gpu::plan::occupancy::{SharedBudgets, THREADS, THREADS_ALONE};

/// Beyond what every device with clusters can run.
const WIDEST: u32 = 16;

/// Finds the most blocks of a cluster, of kernels that leave room for another block and of those that do not: what every
/// on-chip kernel can have. 1 where the kernels of this build know of no clusters.
pub(super) fn ask(
    stream: &CudaStream,
    kernels: &Kernels,
    attributes: &mut Attributes,
) -> Result<()> {
    if attributes.cluster_blocks == 1 {
        return Ok(());
    }
    let budgets = SharedBudgets::of(attributes);
    let fits = |shared_bytes, threads| fits_all(stream, kernels, shared_bytes, threads);
    if !on_chip().all(|kernel| kernels.knows_clusters(kernel)) {
        attributes.cluster_blocks = 1;
        attributes.cluster_blocks_alone = 1;
        return Ok(());
    }
    if fits(budgets.half, THREADS)? {
        attributes.cluster_blocks = WIDEST;
    }
    if fits(budgets.whole, THREADS_ALONE)? {
        attributes.cluster_blocks_alone = WIDEST;
    }
    Ok(())
}

fn on_chip() -> impl Iterator<Item = Kernel> {
    kernel::all().filter(|kernel| kernel.strategy == Strategy::OnChip)
}

/// Whether the device has room for one of the widest clusters of every kernel. A GPC with fewer multiprocessors has none.
fn fits_all(
    stream: &CudaStream,
    kernels: &Kernels,
    shared_bytes: usize,
    threads: usize,
) -> Result<bool> {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    for kernel in on_chip() {
        let wide = Launch {
            kernel,
            blocks: WIDEST,
            threads: number(threads),
            cluster: WIDEST,
            shared_bytes: number(shared_bytes),
            cooperative: false,
        };
        match launch::fits(stream, &kernels.get(kernel)?, &wide) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) if is_refusal(error) => return Ok(false),
            Err(error) => return Err(driver_error("ask how large clusters may be", error)),
        }
    }
    Ok(true)
}

/// A device whose clusters are smaller refuses the question.
fn is_refusal(DriverError(code): DriverError) -> bool {
    code == sys::CUresult::CUDA_ERROR_INVALID_VALUE || launch::is_invalid_cluster(code)
}
