//! Blocks that wait for each other, of all the grid and of clusters.
#![expect(unsafe_code, reason = "kernels believe what they are given")]

use std::ffi::c_void;
use std::ptr;

use batchnorm::Result;
use batchnorm::cudarc::driver::sys::{self, CUfunction_attribute as Attribute};
use batchnorm::cudarc::driver::{CudaFunction, DevicePtr};
use cuda_machine::machine::Machine;

use crate::gpu::own_kernels::{failed, load};

const BARRIERS: &str = include_str!(concat!(env!("OUT_DIR"), "/barriers.ptx"));

/// Those of `barriers.cu`, which take a GPU with clusters.
pub(crate) struct BarrierKernels<'a> {
    machine: &'a Machine,
    grid: CudaFunction,
    cluster: CudaFunction,
}

/// The blocks of a launch of [`BarrierKernels`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    pub(crate) count: u32,
    pub(crate) threads: u32,
    /// 1: no clusters.
    pub(crate) cluster: u32,
    pub(crate) shared_bytes: u32,
    pub(crate) cooperative: bool,
}

impl<'a> BarrierKernels<'a> {
    pub(crate) fn load(machine: &'a Machine) -> Result<Self> {
        let module = load(machine, BARRIERS)?;
        let grid = module.load_function("grid_barriers").map_err(failed)?;
        let cluster = module.load_function("cluster_barriers").map_err(failed)?;
        let shared = machine.gpu.attributes().shared_per_block.cast_signed();
        for (attribute, value) in [
            (
                Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                shared,
            ),
            (
                Attribute::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED,
                1,
            ),
        ] {
            cluster.set_attribute(attribute, value).map_err(failed)?;
        }
        Ok(Self {
            machine,
            grid,
            cluster,
        })
    }

    /// So many barriers of all blocks, one after the other.
    pub(crate) fn grid_barriers(&self, blocks: Blocks, times: u32) -> Result<()> {
        let stream = self.machine.stream();
        let counter = stream.alloc_zeros::<u32>(1).map_err(failed)?;
        let (address, _guard) = counter.device_ptr(stream);
        let mut parameters = [
            ptr::from_ref(&address).cast_mut().cast(),
            ptr::from_ref(&times).cast_mut().cast(),
        ];
        // SAFETY: the kernel's parameters are an address, at which one counter is zero, and a number.
        unsafe { self.launch(&self.grid, blocks, &mut parameters) }
    }

    /// So many barriers of each cluster, one after the other.
    pub(crate) fn cluster_barriers(&self, blocks: Blocks, times: u32) -> Result<()> {
        let mut parameters = [ptr::from_ref(&times).cast_mut().cast()];
        // SAFETY: the kernel's parameter is a number, and it touches no memory.
        unsafe { self.launch(&self.cluster, blocks, &mut parameters) }
    }

    /// How many clusters of such blocks the device says can run at once.
    pub(crate) fn clusters_at_once(&self, blocks: Blocks) -> Result<i32> {
        self.machine.context.bind_to_thread().map_err(failed)?;
        let mut attributes = attributes(blocks);
        let config = self.config(blocks, &mut attributes);
        let mut clusters = 0;
        // SAFETY: `clusters` is one int; the configuration and its attributes live through the call.
        let asked = unsafe {
            sys::cuOccupancyMaxActiveClusters(
                &raw mut clusters,
                self.cluster.cu_function(),
                &raw const config,
            )
        };
        asked.result().map_err(failed)?;
        Ok(clusters)
    }

    /// # Safety
    /// The parameters are the function's.
    unsafe fn launch(
        &self,
        function: &CudaFunction,
        blocks: Blocks,
        parameters: &mut [*mut c_void],
    ) -> Result<()> {
        self.machine.context.bind_to_thread().map_err(failed)?;
        let mut attributes = attributes(blocks);
        let config = self.config(blocks, &mut attributes);
        // SAFETY: the caller's promise; the configuration and its attributes live through the call.
        let launched = unsafe {
            sys::cuLaunchKernelEx(
                &raw const config,
                function.cu_function(),
                parameters.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        launched.result().map_err(failed)
    }

    fn config(
        &self,
        blocks: Blocks,
        attributes: &mut [sys::CUlaunchAttribute],
    ) -> sys::CUlaunchConfig {
        sys::CUlaunchConfig {
            gridDimX: blocks.count,
            gridDimY: 1,
            gridDimZ: 1,
            blockDimX: blocks.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: blocks.shared_bytes,
            hStream: self.machine.stream().cu_stream(),
            attrs: attributes.as_mut_ptr(),
            numAttrs: u32::try_from(attributes.len()).expect("at most two"),
        }
    }
}

/// What of a launch is not ordinary.
fn attributes(blocks: Blocks) -> Vec<sys::CUlaunchAttribute> {
    use sys::CUlaunchAttributeID as Id;
    let attribute = |id, value| sys::CUlaunchAttribute {
        id,
        pad: [0; 4],
        value,
    };
    let mut attributes = Vec::new();
    if blocks.cluster > 1 {
        let (x, y, z) = (blocks.cluster, 1, 1);
        let dims = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z };
        let value = sys::CUlaunchAttributeValue { clusterDim: dims };
        attributes.push(attribute(Id::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, value));
    }
    if blocks.cooperative {
        let value = sys::CUlaunchAttributeValue { cooperative: 1 };
        attributes.push(attribute(Id::CU_LAUNCH_ATTRIBUTE_COOPERATIVE, value));
    }
    attributes
}
