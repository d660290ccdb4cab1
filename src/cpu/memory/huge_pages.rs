//! Pages of 2 MiB instead of 4 KiB for large arrays: 512 times fewer page faults when they are first written, and fewer
//! addresses to be translated whenever they are read. Linux leaves them to programs that ask.
#![cfg_attr(
    all(target_os = "linux", not(miri)),
    expect(unsafe_code, reason = "the system is told how memory will be used")
)]

/// What Linux calls huge on x86-64, and on aarch64 with the usual pages. Where a huge page is larger, nothing comes of it.
pub(crate) const HUGE_PAGE_BYTES: usize = 2 << 20;
/// From here on huge pages are asked for: one more than is needed is at most a quarter of the memory.
pub(crate) const MIN_HUGE_BYTES: usize = 4 * HUGE_PAGE_BYTES;

/// Asks for huge pages within large memory that has not been written yet. A system that has none goes on with its usual ones.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn ask_for_huge_pages(start: *const u8, bytes: usize) {
    let skipped = start.align_offset(HUGE_PAGE_BYTES);
    if bytes < MIN_HUGE_BYTES || skipped > bytes {
        return;
    }
    let within = (bytes - skipped) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    let first = start.wrapping_add(skipped).cast_mut().cast();
    // SAFETY: the advice changes neither values nor what may be accessed, whatever is at the address; a range that is not the
    // program's is refused.
    let _refused = unsafe { libc::madvise(first, within, libc::MADV_HUGEPAGE) };
}

#[cfg(not(all(target_os = "linux", not(miri))))]
pub(crate) fn ask_for_huge_pages(_: *const u8, _: usize) {}
