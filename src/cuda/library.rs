//! Whether there is a driver, and which: asked before anything else, because cudarc panics without one.
#![expect(
    unsafe_code,
    reason = "a shared library is opened, and one function of it called"
)]

use std::sync::OnceLock;

use cudarc::driver::{DriverError, result, sys};

use crate::cuda::driver_error::driver_error;
use crate::cuda::shared_library;
use crate::cuda::version::CudaVersion;
use crate::error::{Error, Result};

/// The driver's library by the names that it has.
const NAMES: &[&str] = if cfg!(windows) {
    &["nvcuda.dll"]
} else {
    &["libcuda.so.1", "libcuda.so"]
};

/// The driver's version, once it is known to be there, initialized and recent enough.
///
/// # Errors
/// [`Error::NoDriver`], [`Error::DriverTooOld`], [`Error::NoSuchDevice`] if it has no device at all, [`Error::Driver`].
pub(super) fn driver_version() -> Result<CudaVersion> {
    static LOADED: OnceLock<Result<(), String>> = OnceLock::new();
    if let Err(found) = LOADED.get_or_init(open) {
        return Err(Error::NoDriver {
            found: found.clone(),
        });
    }
    let mut number = 0;
    // SAFETY: the library is there, `number` is one int, and every version of the library has this function.
    let asked = unsafe { sys::cuDriverGetVersion(&raw mut number) }.result();
    match asked.and_then(|()| result::init()) {
        Ok(()) => {}
        // A toolkit's stand-in for the library, to link with where there is no driver.
        Err(DriverError(sys::CUresult::CUDA_ERROR_STUB_LIBRARY)) => {
            return Err(Error::NoDriver {
                found: "found a library to link with (a stub), not a driver".to_owned(),
            });
        }
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => {
            return Err(Error::NoSuchDevice { asked: 0, found: 0 });
        }
        Err(error) => return Err(driver_error("start", error)),
    }
    let version = CudaVersion::from_number(number);
    if version < CudaVersion::OLDEST {
        return Err(Error::DriverTooOld {
            found: version.to_string(),
            needed: CudaVersion::OLDEST.to_string(),
        });
    }
    Ok(version)
}

/// Opens the library for good, or says what was tried.
fn open() -> Result<(), String> {
    // SAFETY: this is NVIDIA's driver, whose initialization asks nothing of the program that loads it. cudarc opens it again; it stays
    // loaded either way.
    unsafe { shared_library::open(NAMES) }.map(std::mem::forget)
}
