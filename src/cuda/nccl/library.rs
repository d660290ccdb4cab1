//! The library's functions, found while the program runs. (cudarc has them too, but looks for the library by other names than PyPI's
//! package and Linux distributions give it, and panics where it finds none.)
#![expect(
    unsafe_code,
    reason = "a shared library is opened, and its functions are called"
)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

use crate::cuda::shared_library;
use crate::error::{Error, Result};

/// The library by the names that it has.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];

/// What the library knows a group of ranks by.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct UniqueId(pub(crate) [u8; 128]);

/// A communicator, of the library's own making.
pub(super) type Handle = *mut c_void;
/// 0, or what went wrong.
pub(super) type Code = c_int;
pub(super) const SUCCESS: Code = 0;
pub(super) const IN_PROGRESS: Code = 7;
/// Of the library's data types: bytes.
pub(super) const UINT8: c_int = 1;

/// The functions that are used here, which every version from 2.4 on has.
pub(super) struct Library {
    pub(super) get_unique_id: unsafe extern "C" fn(*mut UniqueId) -> Code,
    pub(super) init_rank: unsafe extern "C" fn(*mut Handle, c_int, UniqueId, c_int) -> Code,
    pub(super) all_gather:
        unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, Handle, *mut c_void) -> Code,
    pub(super) get_async_error: unsafe extern "C" fn(Handle, *mut Code) -> Code,
    pub(super) abort: unsafe extern "C" fn(Handle) -> Code,
    pub(super) get_error_string: unsafe extern "C" fn(Code) -> *const c_char,
}

impl Library {
    /// The one of this process.
    pub(super) fn loaded() -> Result<&'static Self> {
        static LOADED: OnceLock<Result<Library, String>> = OnceLock::new();
        let loaded = LOADED.get_or_init(|| Library::open(&NAMES));
        loaded.as_ref().map_err(|found| Error::Transport {
            reason: format!("NCCL cannot be loaded: {found}"),
            source: None,
        })
    }

    /// Opens it for good by one of these names, or says what was tried.
    fn open(names: &[&str]) -> Result<Self, String> {
        // SAFETY: this is NCCL, whose initialization asks nothing of the program that loads it.
        let library = unsafe { shared_library::open(names) }?;
        Self::of(library).map_err(|lacks| shared_library::said(names[0], &lacks))
    }

    fn of(library: libloading::Library) -> Result<Self, libloading::Error> {
        // SAFETY: the types are those that NCCL's header has given these functions since 2.4, and the library is never closed: it is
        // forgotten below.
        let functions = unsafe {
            Self {
                get_unique_id: *library.get(b"ncclGetUniqueId\0")?,
                init_rank: *library.get(b"ncclCommInitRank\0")?,
                all_gather: *library.get(b"ncclAllGather\0")?,
                get_async_error: *library.get(b"ncclCommGetAsyncError\0")?,
                abort: *library.get(b"ncclCommAbort\0")?,
                get_error_string: *library.get(b"ncclGetErrorString\0")?,
            }
        };
        std::mem::forget(library);
        Ok(functions)
    }

    /// What a function has returned.
    pub(super) fn check(&self, what: &str, code: Code) -> Result<()> {
        if code == SUCCESS {
            return Ok(());
        }
        // SAFETY: the function takes any code.
        let text = unsafe { (self.get_error_string)(code) };
        let text = if text.is_null() {
            "an error without a name".into()
        } else {
            // SAFETY: it is not null, and NCCL's texts are constants that end with a zero.
            unsafe { CStr::from_ptr(text) }.to_string_lossy()
        };
        Err(Error::Transport {
            reason: format!("NCCL could not {what}: {text} ({code})"),
            source: None,
        })
    }
}

impl UniqueId {
    /// A new one, to be told to all ranks of a group.
    pub(crate) fn new() -> Result<Self> {
        Self::of(Library::loaded()?)
    }

    pub(super) fn of(library: &Library) -> Result<Self> {
        let mut id = Self([0; 128]);
        // SAFETY: there is room for one.
        let code = unsafe { (library.get_unique_id)(&raw mut id) };
        library.check("make an id", code)?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_absent_is_an_error() {
        let refused = Library::open(&["libnccl-absent.so.2", "libnccl-absent.so"])
            .err()
            .unwrap();
        assert!(
            refused.contains("libnccl-absent.so.2") && refused.contains("; "),
            "{refused}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_that_is_another_is_an_error() {
        let refused = Library::open(&["libc.so.6"]).err().unwrap();
        assert!(
            refused.contains("libc.so.6") && refused.contains("ncclGetUniqueId"),
            "{refused}"
        );
    }
}
