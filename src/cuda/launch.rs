//! Puts one kernel into a stream, with the attributes that cudarc's own launch does not know: clusters, and all blocks
//! at once.
#![expect(
    unsafe_code,
    reason = "cudarc has no safe launch with a cluster, and none that takes a struct by value"
)]

use std::ptr;

use cudarc::driver::{CudaFunction, CudaStream, DriverError, sys};

use crate::gpu::arguments::Arguments;
use crate::gpu::launch::Launch;

/// Starts `function` after the work that is in the stream. Neither allocates nor waits.
///
/// # Safety
/// What the addresses in the arguments lead to is as long as the function takes it to be, and held until that is in the stream.
pub(super) unsafe fn launch(
    stream: &CudaStream,
    function: &CudaFunction,
    launch: &Launch,
    arguments: &Arguments,
) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    let mut attributes = attributes(launch);
    let config = config(stream, launch, &mut attributes);
    let mut parameters = [ptr::from_ref(arguments).cast_mut().cast()];
    // SAFETY: the kernel's one parameter is this struct by value, which the driver copies before it returns; the
    // configuration and its attributes live as long. What the addresses in it lead to is held by the caller, as it
    // promises, until the kernel is in the stream, and then by the order of the stream.
    unsafe {
        sys::cuLaunchKernelEx(
            &raw const config,
            function.cu_function(),
            parameters.as_mut_ptr(),
            ptr::null_mut(),
        )
    }
    .result()
}

/// Whether the device has room for one cluster of such blocks.
pub(super) fn fits(
    stream: &CudaStream,
    function: &CudaFunction,
    launch: &Launch,
) -> Result<bool, DriverError> {
    stream.context().bind_to_thread()?;
    let mut attributes = attributes(launch);
    let config = config(stream, launch, &mut attributes);
    let mut clusters = 0;
    // SAFETY: `clusters` is one int; the configuration and its attributes live through the call.
    unsafe {
        sys::cuOccupancyMaxActiveClusters(
            &raw mut clusters,
            function.cu_function(),
            &raw const config,
        )
    }
    .result()?;
    Ok(clusters > 0)
}

/// Whether a launch was refused because its blocks cannot run at once, which another plan does not ask for.
pub(super) fn lacks_room(launch: &Launch, DriverError(code): DriverError) -> bool {
    use sys::CUresult as Code;
    let together = launch.cooperative || launch.cluster > 1;
    let refused = matches!(
        code,
        Code::CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE
            | Code::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
            | Code::CUDA_ERROR_NOT_SUPPORTED
    );
    together && (refused || is_invalid_cluster(code))
}

/// Whether a code is that of a cluster that the device has no room for: by number, for bindings of before CUDA 12 have
/// no name for it.
pub(super) fn is_invalid_cluster(code: sys::CUresult) -> bool {
    code as u32 == 912
}

/// Only what differs from an ordinary launch, and how many that are: older devices refuse the rest.
fn attributes(launch: &Launch) -> ([sys::CUlaunchAttribute; 2], u32) {
    let nothing = sys::CUlaunchAttribute {
        id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_IGNORE,
        pad: [0; 4],
        value: sys::CUlaunchAttributeValue { pad: [0; 64] },
    };
    let (mut attributes, mut count) = ([nothing; 2], 0u32);
    let mut add = |id, value| {
        attributes[count as usize] = sys::CUlaunchAttribute {
            id,
            value,
            ..nothing
        };
        count += 1;
    };
    if launch.cluster > 1 {
        let (x, y, z) = (launch.cluster, 1, 1);
        let value = sys::CUlaunchAttributeValue {
            clusterDim: sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z },
        };
        let id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
        add(id, value);
    }
    if launch.cooperative {
        let value = sys::CUlaunchAttributeValue { cooperative: 1 };
        let id = sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
        add(id, value);
    }
    (attributes, count)
}

fn config(
    stream: &CudaStream,
    launch: &Launch,
    (attributes, count): &mut ([sys::CUlaunchAttribute; 2], u32),
) -> sys::CUlaunchConfig {
    sys::CUlaunchConfig {
        gridDimX: launch.blocks,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: launch.threads,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: launch.shared_bytes,
        hStream: stream.cu_stream(),
        attrs: attributes.as_mut_ptr(),
        numAttrs: *count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::DType;
    use crate::gpu::kernel::{Family, Kernel, Operation, Strategy};

    fn launch_with(cluster: u32, cooperative: bool) -> Launch {
        Launch {
            kernel: Kernel {
                family: Family::Planes,
                strategy: Strategy::OnChip,
                operation: Operation::Forward,
                dtype: DType::F32,
            },
            blocks: 1,
            threads: 1,
            cluster,
            shared_bytes: 0,
            cooperative,
        }
    }

    #[test]
    fn only_blocks_that_must_run_at_once_can_lack_room() {
        let too_large = DriverError(sys::CUresult::CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
        let resources = DriverError(sys::CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
        let address = DriverError(sys::CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        assert!(lacks_room(&launch_with(1, true), too_large));
        assert!(lacks_room(&launch_with(16, false), resources));
        assert!(!lacks_room(&launch_with(1, false), resources));
        assert!(!lacks_room(&launch_with(16, true), address));
    }

    #[test]
    fn only_what_is_asked_for_is_an_attribute() {
        use sys::CUlaunchAttributeID as Id;
        let names = |cluster, cooperative| {
            let (attributes, count) = attributes(&launch_with(cluster, cooperative));
            let names = attributes.map(|attribute| attribute.id);
            names.into_iter().take(count as usize).collect::<Vec<_>>()
        };
        assert_eq!(names(1, false), []);
        assert_eq!(names(8, false), [Id::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION]);
        assert_eq!(names(1, true), [Id::CU_LAUNCH_ATTRIBUTE_COOPERATIVE]);
        assert_eq!(names(2, true).len(), 2);
    }
}
