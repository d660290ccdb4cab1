//! What the driver says went wrong, as this crate's error.

use cudarc::driver::DriverError;

use crate::error::Error;
use crate::error::cause::Cause;

pub(crate) fn driver_error(operation: &'static str, error: DriverError) -> Error {
    Error::Driver {
        operation,
        reason: error.to_string(),
        source: Some(Cause::new(error)),
    }
}
