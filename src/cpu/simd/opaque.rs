//! Questions that stay in the loop they are asked in.
#![expect(unsafe_code, reason = "an assembly block that does nothing")]

/// The same, but the compiler cannot know that it is. Otherwise it writes a loop once for every answer to all questions of that
/// kind, which takes it minutes and gains nothing: a branch that always goes the same way costs next to nothing.
#[inline(always)]
pub(crate) fn asked_in_loop(question: bool) -> bool {
    #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
    {
        let mut answer = usize::from(question);
        // SAFETY: there is no instruction in it; the register keeps what it has.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) answer, options(nomem, nostack, preserves_flags));
        }
        answer != 0
    }
    #[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
    std::hint::black_box(question)
}
