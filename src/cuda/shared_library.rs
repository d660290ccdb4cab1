//! Opening a shared library while the program runs, by the names that it has on different systems.
#![expect(unsafe_code, reason = "a library that is loaded runs code of its own")]

use std::error::Error as _;

use libloading::{Error, Library};

/// The first that there is, or what was tried.
///
/// # Safety
/// The libraries of these names may be loaded, and unloaded, at any time.
pub(super) unsafe fn open(names: &[&str]) -> Result<Library, String> {
    let mut tried = Vec::new();
    for &name in names {
        // SAFETY: as the caller promises.
        match unsafe { Library::new(name) } {
            Ok(library) => return Ok(library),
            Err(error) => tried.push(said(name, &error)),
        }
    }
    Err(tried.join("; "))
}

/// What the system says of a library, with the name, which it does not always say.
pub(super) fn said(name: &str, error: &Error) -> String {
    let why = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    if why.contains(name) {
        why
    } else {
        format!("{name}: {why}")
    }
}
