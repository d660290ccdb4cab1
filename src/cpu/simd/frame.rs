//! Stack frames that begin where a register's worth of memory does.

use std::hint::black_box;
use std::mem::MaybeUninit;

/// As large as a register of 512 bits, and aligned to it.
#[repr(align(64))]
struct Register(
    #[expect(dead_code, reason = "its size and place are all there is to it")] [u8; 64],
);

/// Has the frame of the function that this is inlined into aligned to whole registers.
///
/// The compiler finds out that it must keep registers in memory when it can no longer align the frame for them. One in two that it
/// keeps then lies over two cache lines, or over none: how fast a kernel is would depend on where the stack happens to begin.
#[inline(always)]
pub(crate) fn align_frame() {
    black_box(&mut MaybeUninit::<Register>::uninit());
}
