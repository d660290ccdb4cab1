//! The driver's functions, by the names that programs look for. Handles are numbers here, and an address that a result goes to is
//! a reference or null.
#![expect(
    unsafe_code,
    reason = "functions of another library, by their names and with its addresses"
)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use batchnorm::cudarc::driver::sys::{CUlaunchConfig, CUresult};
use batchnorm_simt::Grid;

use crate::launches::{self, Parameters};
use crate::state::{self, state};
use crate::work::Work;
use crate::{device, memory};

/// Where a result goes.
type Out<'a, T> = Option<&'a mut MaybeUninit<T>>;

/// The only context that there is.
const CONTEXT: usize = 1;

fn code(done: Result<(), CUresult>) -> CUresult {
    done.err().unwrap_or(CUresult::CUDA_SUCCESS)
}

fn give<T>(to: Out<'_, T>, value: Result<T, CUresult>) -> CUresult {
    match (to, value) {
        (Some(to), Ok(value)) => {
            to.write(value);
            CUresult::CUDA_SUCCESS
        }
        (None, _) => CUresult::CUDA_ERROR_INVALID_VALUE,
        (_, Err(error)) => error,
    }
}

/// Defines functions of the driver that need no unsafe code of their own.
macro_rules! calls {
    ($($name:ident($($parameter:ident: $type:ty),*) $body:block)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name($($parameter: $type),*) -> CUresult $body
        )*
    };
}

// The device and its context.
calls! {
    cuInit(_flags: c_uint) { CUresult::CUDA_SUCCESS }
    cuDriverGetVersion(version: Out<'_, c_int>) { give(version, Ok(device::DRIVER_VERSION)) }
    cuDeviceGetCount(count: Out<'_, c_int>) { give(count, Ok(1)) }
    cuDeviceGet(device: Out<'_, c_int>, ordinal: c_int) {
        give(device, if ordinal == 0 { Ok(0) } else { Err(CUresult::CUDA_ERROR_INVALID_DEVICE) })
    }
    cuDeviceGetAttribute(value: Out<'_, c_int>, which: c_uint, _device: c_int) {
        give(value, Ok(device::attribute(which).unwrap_or(0).cast_signed()))
    }
    cuDeviceTotalMem_v2(bytes: Out<'_, usize>, _device: c_int) { give(bytes, Ok(device::memory_bytes())) }
    cuDevicePrimaryCtxRetain(context: Out<'_, usize>, _device: c_int) { give(context, Ok(CONTEXT)) }
    cuDevicePrimaryCtxRelease_v2(_device: c_int) { CUresult::CUDA_SUCCESS }
    cuCtxSynchronize() { CUresult::CUDA_SUCCESS }
    cuMemGetInfo_v2(free: Out<'_, usize>, total: Out<'_, usize>) {
        match give(total, Ok(device::memory_bytes())) {
            CUresult::CUDA_SUCCESS => give(free, Ok(memory::free_bytes())),
            error => error,
        }
    }
}

/// Which context this process uses; 0 for none.
static CURRENT: AtomicUsize = AtomicUsize::new(0);

calls! {
    cuCtxGetCurrent(context: Out<'_, usize>) { give(context, Ok(CURRENT.load(Ordering::Relaxed))) }
    cuCtxSetCurrent(context: usize) {
        CURRENT.store(context, Ordering::Relaxed);
        CUresult::CUDA_SUCCESS
    }
}

/// # Safety
/// There is room for so many characters.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuDeviceGetName(name: *mut c_char, room: c_int, _device: c_int) -> CUresult {
    let text = c"a stand-in for a GPU".to_bytes_with_nul();
    if usize::try_from(room).is_ok_and(|room| room < text.len()) {
        return CUresult::CUDA_ERROR_INVALID_VALUE;
    }
    // SAFETY: the caller's promise, and the text is no longer than that.
    unsafe { name.cast::<u8>().copy_from(text.as_ptr(), text.len()) };
    CUresult::CUDA_SUCCESS
}

calls! {
    cuGetErrorName(error: c_uint, name: Out<'_, *const c_char>) { give(name, Ok(error_text(error))) }
    cuGetErrorString(error: c_uint, text: Out<'_, *const c_char>) { give(text, Ok(error_text(error))) }
}

fn error_text(error: c_uint) -> *const c_char {
    let text = if error == CUresult::CUDA_ERROR_OUT_OF_MEMORY as c_uint {
        c"out of memory"
    } else {
        c"an error of the stand-in for the CUDA driver"
    };
    text.as_ptr()
}

// Modules and functions.
calls! {
    cuModuleLoadData(module: Out<'_, usize>, image: usize) {
        let loaded = if image == 0 { Err(CUresult::CUDA_ERROR_INVALID_VALUE) } else { Ok(state().handle()) };
        give(module, loaded)
    }
    cuModuleUnload(_module: usize) { CUresult::CUDA_SUCCESS }
    cuFuncGetAttribute(value: Out<'_, c_int>, _which: c_uint, function: usize) {
        give(value, state().of_handle(function).map(|_| 0))
    }
    cuFuncSetAttribute(function: usize, _which: c_uint, _value: c_int) {
        code(state().of_handle(function).map(drop))
    }
    cuOccupancyMaxActiveClusters(clusters: Out<'_, c_int>, function: usize, config: &CUlaunchConfig) {
        let grid = launches::grid_of(config);
        give(clusters, grid.and_then(|grid| launches::clusters_at_once(function, grid)))
    }
    cuOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks: Out<'_, c_int>, function: usize, threads: c_uint, _shared_bytes: usize
    ) {
        give(blocks, launches::blocks_at_once(function, threads))
    }
    cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        blocks: Out<'_, c_int>, function: usize, threads: c_uint, _shared_bytes: usize, _flags: c_uint
    ) {
        give(blocks, launches::blocks_at_once(function, threads))
    }
}

/// # Safety
/// The name is a string.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(
    function: Out<'_, usize>,
    _module: usize,
    name: *const c_char,
) -> CUresult {
    // SAFETY: the caller's promise.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    give(function, state().function(&name))
}

/// # Safety
/// The parameters are those that the function has.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchKernelEx(
    config: &CUlaunchConfig,
    function: usize,
    parameters: Parameters,
    _extra: *const c_void,
) -> CUresult {
    let stream = config.hStream.addr();
    // SAFETY: the caller's promise.
    let launched = launches::grid_of(config)
        .and_then(|grid| unsafe { launches::launch(function, grid, stream, parameters) });
    code(launched)
}

/// # Safety
/// The parameters are those that the function has.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchKernel(
    function: usize,
    blocks: c_uint,
    _blocks_y: c_uint,
    _blocks_z: c_uint,
    threads: c_uint,
    _threads_y: c_uint,
    _threads_z: c_uint,
    shared_bytes: c_uint,
    stream: usize,
    parameters: Parameters,
    _extra: *const c_void,
) -> CUresult {
    let grid = Grid {
        blocks,
        threads,
        cluster: 1,
        shared_bytes,
        cooperative: false,
    };
    // SAFETY: the caller's promise.
    code(unsafe { launches::launch(function, grid, stream, parameters) })
}

// Memory.
calls! {
    cuMemAlloc_v2(address: Out<'_, u64>, bytes: usize) { give(address, memory::allocate(bytes)) }
    cuMemAllocAsync(address: Out<'_, u64>, bytes: usize, _stream: usize) { give(address, memory::allocate(bytes)) }
    cuMemFree_v2(address: u64) { code(memory::release(address)) }
    cuMemFreeAsync(address: u64, stream: usize) {
        // What is freed in a capture each launch of the graph has again: it stays.
        if state().is_captured(stream) {
            return CUresult::CUDA_SUCCESS;
        }
        code(memory::release(address))
    }
    cuMemsetD8Async(to: u64, with: u8, bytes: usize, stream: usize) {
        code(state::put(stream, Work::Fill { to, with, bytes }))
    }
    cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: usize) {
        code(state::put(stream, Work::Copy { from, to, bytes }))
    }
}

/// # Safety
/// So many bytes can be read there.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const u8,
    bytes: usize,
    stream: usize,
) -> CUresult {
    // SAFETY: the caller's promise.
    code(state::synchronize(stream).and_then(|()| unsafe { memory::copy_in(from, to, bytes) }))
}

/// # Safety
/// So many bytes can be written there.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut u8,
    from: u64,
    bytes: usize,
    stream: usize,
) -> CUresult {
    // SAFETY: the caller's promise.
    code(state::synchronize(stream).and_then(|()| unsafe { memory::copy_out(from, to, bytes) }))
}

// Streams, events and graphs.
calls! {
    cuStreamCreate(stream: Out<'_, usize>, _flags: c_uint) { give(stream, Ok(state().handle())) }
    cuStreamDestroy_v2(_stream: usize) { CUresult::CUDA_SUCCESS }
    cuStreamSynchronize(stream: usize) { code(state::synchronize(stream)) }
    cuStreamWaitEvent(_stream: usize, _event: usize, _flags: c_uint) { CUresult::CUDA_SUCCESS }
    cuStreamBeginCapture_v2(stream: usize, _mode: c_uint) { code(state().begin_capture(stream)) }
    cuStreamEndCapture(stream: usize, graph: Out<'_, usize>) { give(graph, state().end_capture(stream)) }
    cuStreamIsCapturing(stream: usize, status: Out<'_, c_uint>) {
        give(status, Ok(c_uint::from(state().is_captured(stream))))
    }
    cuEventCreate(event: Out<'_, usize>, _flags: c_uint) { give(event, Ok(state().handle())) }
    cuEventDestroy_v2(_event: usize) { CUresult::CUDA_SUCCESS }
    cuEventRecord(event: usize, _stream: usize) {
        state().record(event);
        CUresult::CUDA_SUCCESS
    }
    cuEventQuery(_event: usize) { CUresult::CUDA_SUCCESS }
    cuEventSynchronize(_event: usize) { CUresult::CUDA_SUCCESS }
    cuEventElapsedTime(milliseconds: Out<'_, f32>, start: usize, end: usize) {
        give(milliseconds, state().elapsed(start, end))
    }
    cuEventElapsedTime_v2(milliseconds: Out<'_, f32>, start: usize, end: usize) {
        give(milliseconds, state().elapsed(start, end))
    }
    cuGraphInstantiateWithFlags(executable: Out<'_, usize>, graph: usize, _flags: u64) {
        give(executable, state().instantiate(graph))
    }
    cuGraphUpload(_executable: usize, _stream: usize) { CUresult::CUDA_SUCCESS }
    cuGraphLaunch(executable: usize, stream: usize) {
        code(state::synchronize(stream).and_then(|()| state::launch_graph(executable)))
    }
    cuGraphDestroy(graph: usize) { code(state().forget_graph(graph)) }
    cuGraphExecDestroy(executable: usize) { code(state().forget_graph(executable)) }
}
