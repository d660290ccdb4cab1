//! Memory that is freed stays with the process.
#![expect(unsafe_code, reason = "glibc's settings are made by a call of C")]

/// Without this, large results come from the system each time, and the page faults take longer than the arithmetic, for
/// those who have no way to write into memory that is there. Large programs end up with memory of their own just so. Where the
/// library is not glibc it has other ways, and nothing is done.
pub fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt takes any two integers and may be called at any time; it is called before there are other threads.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        // Never, and not from the largest of ints on.
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
    }
}
