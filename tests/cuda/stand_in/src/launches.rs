//! Launches, and what the driver says about them before.
#![expect(
    unsafe_code,
    reason = "a launch has its parameters as addresses, and its attributes as a list of unions"
)]

use std::ffi::c_void;

use batchnorm::cudarc::driver::sys::{CUlaunchAttributeID, CUlaunchConfig, CUresult};
use batchnorm::gpu::internal::Arguments;
use batchnorm_simt::Grid;

use crate::device::DEVICE;
use crate::state::{Function, put, state};
use crate::work::Work;

/// Where the parameters of a launch are, one after the other.
pub(crate) type Parameters = *const *const c_void;

/// The blocks and threads of a launch, whose attributes are known here.
pub(crate) fn grid_of(config: &CUlaunchConfig) -> Result<Grid, CUresult> {
    let mut grid = Grid {
        blocks: config.gridDimX,
        threads: config.blockDimX,
        cluster: 1,
        shared_bytes: config.sharedMemBytes,
        cooperative: false,
    };
    for index in 0..config.numAttrs as usize {
        // SAFETY: the driver's interface: so many attributes are there.
        let attribute = unsafe { &*config.attrs.add(index) };
        match attribute.id {
            // SAFETY: what an attribute of this name has.
            CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION => unsafe {
                grid.cluster = attribute.value.clusterDim.x;
            },
            // SAFETY: as above.
            CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_COOPERATIVE => unsafe {
                grid.cooperative = attribute.value.cooperative != 0;
            },
            CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_IGNORE => {}
            _ => return Err(CUresult::CUDA_ERROR_NOT_SUPPORTED),
        }
    }
    Ok(grid)
}

/// # Safety
/// The parameters are those that the function has.
pub(crate) unsafe fn launch(
    function: usize,
    grid: Grid,
    stream: usize,
    parameters: Parameters,
) -> Result<(), CUresult> {
    let function = state().of_handle(function)?;
    // SAFETY: the caller's promise, and the index is below how many there are.
    let parameter = |index: usize| unsafe { *parameters.add(index) };
    let work = match function {
        Function::Library(kernel) => Work::Kernel {
            name: kernel.name,
            grid,
            // SAFETY: the one parameter of every kernel of the library.
            arguments: Box::new(unsafe { *parameter(0).cast::<Arguments>() }),
        },
        Function::Plain(kernel) => {
            let sizes = kernel.parameters.iter().enumerate();
            // SAFETY: a parameter has as many bytes as the kernel's source gives it.
            let values = sizes.map(|(index, bytes)| unsafe {
                match bytes {
                    4 => u64::from(*parameter(index).cast::<u32>()),
                    _ => *parameter(index).cast::<u64>(),
                }
            });
            Work::Plain {
                kernel,
                parameters: values.collect(),
            }
        }
    };
    put(stream, work)
}

/// How many clusters of such blocks run at once; an error where no launch could have them.
pub(crate) fn clusters_at_once(function: usize, grid: Grid) -> Result<i32, CUresult> {
    let of = DEVICE.attributes;
    let most_threads = match state().of_handle(function)? {
        Function::Library(kernel) => kernel.threads,
        Function::Plain(_) => 1024,
    };
    let refused = grid.threads > most_threads
        || grid.shared_bytes > of.shared_per_block
        || grid.cluster > of.cluster_blocks;
    if refused {
        return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    let clusters = of.multiprocessors / grid.cluster;
    Ok(clusters.max(1).cast_signed())
}

/// How many blocks a multiprocessor has room for.
pub(crate) fn blocks_at_once(function: usize, threads: u32) -> Result<i32, CUresult> {
    let by_registers = match state().of_handle(function)? {
        Function::Library(kernel) => kernel.blocks_per_multiprocessor,
        Function::Plain(_) => 2,
    };
    let by_threads = DEVICE.attributes.threads_per_multiprocessor / threads.max(1);
    Ok(by_registers.min(by_threads).cast_signed())
}
