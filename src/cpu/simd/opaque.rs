//! A value that the optimizer knows nothing about, so that it leaves a loop as it is written.
#![cfg_attr(
    all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)),
    expect(unsafe_code, reason = "an assembly block without instructions")
)]

/// The same truth value, hidden from the optimizer.
///
/// For a condition that does not change in a loop. The optimizer would move it out, and write the loop once for every combination
/// of such conditions: that takes minutes to compile and gains nothing, as a branch that always goes the same way costs next to
/// nothing.
#[inline(always)]
pub(crate) fn opaque(condition: bool) -> bool {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    {
        let mut value = usize::from(condition);
        // SAFETY: there is no instruction in it; the register keeps what it has.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) value, options(nomem, nostack, preserves_flags));
        }
        value != 0
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    std::hint::black_box(condition)
}
