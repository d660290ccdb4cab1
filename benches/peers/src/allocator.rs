//! Whether memory that is freed stays with the process.
#![expect(unsafe_code, reason = "glibc's settings are made by a call of C")]

use clap::ValueEnum;

/// What happens to memory that is freed, in this process and in the peers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Allocator {
    /// Without this, large results come from the system each time, and the page faults take longer than the arithmetic, for
    /// those who have no way to write into memory that is there. Large programs end up with memory of their own just so.
    Keeping,
    /// The allocator decides, as it is installed.
    Default,
}

impl Allocator {
    /// Where the library is not glibc it has other ways, and nothing is done.
    pub fn set_up(self) {
        #[cfg(target_env = "gnu")]
        if self == Allocator::Keeping {
            // SAFETY: mallopt takes any two integers and may be called at any time; it is called before there are other threads.
            unsafe {
                libc::mallopt(libc::M_MMAP_MAX, 0);
                // Never, and not from the largest of ints on.
                libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
            }
        }
    }

    /// The same settings for a process to be started.
    pub fn environment(self) -> Vec<(&'static str, String)> {
        match self {
            Allocator::Keeping => vec![
                ("MALLOC_MMAP_MAX_", "0".into()),
                ("MALLOC_TRIM_THRESHOLD_", usize::MAX.to_string()),
            ],
            Allocator::Default => vec![],
        }
    }

    /// What is said of it beside the processor's allocator.
    pub fn remark(self) -> &'static str {
        match self {
            Allocator::Keeping if cfg!(target_env = "gnu") => ", which keeps what is freed",
            _ => "",
        }
    }
}
