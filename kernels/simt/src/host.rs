//! The host's C functions (`kernels/simt/host.h`).
#![expect(unsafe_code, reason = "the host is C++")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::NonNull;

use batchnorm::gpu::internal::Arguments;

/// `SimtLaunch` in `host.h`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct HostLaunch {
    pub(super) kernel: *const c_char,
    pub(super) seed: u64,
    pub(super) blocks: u32,
    pub(super) threads: u32,
    pub(super) cluster: u32,
    pub(super) shared_bytes: u32,
    pub(super) shared_limit: u32,
    pub(super) resident: u32,
    pub(super) fault: u32,
}

#[repr(C)]
struct RawKernel {
    name: *const c_char,
    threads: u32,
    blocks_per_multiprocessor: u32,
}

#[repr(C)]
struct RawFault {
    file: *const c_char,
    correct: *const c_char,
    faulty: *const c_char,
    number: u32,
    line: u32,
}

unsafe extern "C" {
    fn simt_launch(
        launch: *const HostLaunch,
        arguments: *const Arguments,
        reason: *mut c_char,
        capacity: usize,
    ) -> bool;
    fn simt_kernel(index: usize, kernel: *mut RawKernel) -> bool;
    fn simt_fault(index: usize, fault: *mut RawFault) -> bool;
    fn simt_layout(numbers: *mut usize, capacity: usize) -> usize;
    fn simt_allocate(bytes: usize) -> *mut c_void;
    fn simt_free(memory: *mut c_void);
    fn simt_forget(memory: *mut c_void, bytes: usize);
    fn simt_address_sanitizer() -> bool;
    fn simt_thread_sanitizer() -> bool;
}

/// A kernel of this build, by the name and the bounds that its source gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostKernel {
    /// Its name, such as `planes_statistics_f32`.
    pub name: &'static str,
    /// The most threads of a block.
    pub threads: u32,
    /// So many blocks fit a multiprocessor, as far as registers go.
    pub blocks_per_multiprocessor: u32,
}

/// A mistake that can be put into a kernel: see `INJECT_FAULT` in `kernels/device.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Its number, for [`SimtDriver::with_fault`](super::SimtDriver::with_fault).
    pub number: u32,
    /// The file it is in.
    pub file: &'static str,
    /// The line.
    pub line: u32,
    /// What stands there.
    pub correct: &'static str,
    /// What is put in its place.
    pub faulty: &'static str,
}

/// Every kernel of this build, by name.
pub fn kernels() -> Vec<HostKernel> {
    let listed = (0..).map_while(|index| {
        let mut raw = RawKernel {
            name: std::ptr::null(),
            threads: 0,
            blocks_per_multiprocessor: 0,
        };
        // SAFETY: the host writes one struct, whose text lives as long as the program.
        unsafe { simt_kernel(index, &raw mut raw) }.then(|| HostKernel {
            name: text(raw.name),
            threads: raw.threads,
            blocks_per_multiprocessor: raw.blocks_per_multiprocessor,
        })
    });
    let mut kernels: Vec<_> = listed.collect();
    kernels.sort_by_key(|kernel| kernel.name);
    kernels
}

/// Every place of this build where a fault can be put in, by number. A header's place is listed once for each kernel
/// file that includes it, and here once.
pub fn faults() -> Vec<Fault> {
    let listed = (0..).map_while(|index| {
        let null = std::ptr::null();
        let mut raw = RawFault {
            file: null,
            correct: null,
            faulty: null,
            number: 0,
            line: 0,
        };
        // SAFETY: the host writes one struct, whose texts live as long as the program.
        unsafe { simt_fault(index, &raw mut raw) }.then(|| Fault {
            number: raw.number,
            file: text(raw.file),
            line: raw.line,
            correct: text(raw.correct),
            faulty: text(raw.faulty),
        })
    });
    let mut faults: Vec<_> = listed.collect();
    faults.sort_unstable();
    faults.dedup();
    faults
}

/// What C++ has for the size of [`Arguments`], then for where in it each field is.
pub fn argument_layout() -> Vec<usize> {
    // SAFETY: no memory is given.
    let count = unsafe { simt_layout(std::ptr::null_mut(), 0) };
    let mut layout = vec![0; count];
    // SAFETY: as many numbers are written as there is room for.
    unsafe { simt_layout(layout.as_mut_ptr(), layout.len()) };
    layout
}

/// Whether the kernels were compiled with AddressSanitizer, and accesses out of bounds end the program.
pub fn sees_overruns() -> bool {
    // SAFETY: it only answers.
    unsafe { simt_address_sanitizer() }
}

/// Whether the kernels were compiled with ThreadSanitizer, and races between blocks are reported.
pub fn sees_races() -> bool {
    // SAFETY: it only answers.
    unsafe { simt_thread_sanitizer() }
}

/// Runs a kernel to its end, or says why it failed.
///
/// # Safety
/// Whatever the kernel reads and writes through the arguments' addresses is memory that it may read and write.
pub(super) unsafe fn launch(
    kernel: &str,
    launch: HostLaunch,
    arguments: &Arguments,
) -> Result<(), String> {
    let name = CString::new(kernel).map_err(|_| "its name has a zero byte".to_owned())?;
    let launch = HostLaunch {
        kernel: name.as_ptr(),
        ..launch
    };
    let mut reason = [0_u8; 2048];
    // SAFETY: the launch and its name live until the call returns, the reason has room for as much as is said, and the
    // caller answers for the arguments.
    let done = unsafe {
        simt_launch(
            &raw const launch,
            arguments,
            reason.as_mut_ptr().cast(),
            reason.len(),
        )
    };
    if done {
        return Ok(());
    }
    let reason = CStr::from_bytes_until_nul(&reason).unwrap_or(c"(its reason is too long)");
    Err(reason.to_string_lossy().into_owned())
}

/// New memory, or `None` if there is none.
pub(super) fn allocate(bytes: usize) -> Option<NonNull<c_void>> {
    // SAFETY: any number of bytes may be asked for.
    NonNull::new(unsafe { simt_allocate(bytes) })
}

/// Gives memory back.
///
/// # Safety
/// It is of [`allocate`], and not used any more.
pub(super) unsafe fn free(memory: NonNull<c_void>) {
    // SAFETY: the caller's promise.
    unsafe { simt_free(memory.as_ptr()) };
}

/// Makes memory NaN, as if no launch had written it.
pub(super) fn forget(memory: &mut [u32]) {
    // SAFETY: the memory is borrowed mutably, and every pattern is a number.
    unsafe { simt_forget(memory.as_mut_ptr().cast(), size_of_val(memory)) };
}

fn text(text: *const c_char) -> &'static str {
    // SAFETY: the host's texts are literals of its program.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().expect("the sources are UTF-8")
}
