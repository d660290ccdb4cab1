//! Which process this is: a child that was forked has its parent's memory, and of its threads one.

/// Its number, where processes can be forked.
pub(crate) fn this_process() -> u32 {
    if cfg!(unix) { std::process::id() } else { 0 }
}
