//! What stands in for `gpu.rs` without the feature `candle-cuda`: the error that says so.

use std::ops::Range;

use candle_core::{CudaDevice, CudaStorage, Error, Result};

use crate::candle::error::wrap;
use crate::device::{Device, DeviceSlice};
use crate::element::Element;

/// Any type: there is no memory of a GPU's to be of it.
pub(super) trait CudaDType {}

impl<T> CudaDType for T {}

pub(super) fn device_of(_: &CudaDevice) -> Result<Device> {
    Err(not_built())
}

pub(super) fn slice<T: Element + CudaDType>(
    _: &CudaStorage,
    _: Range<usize>,
) -> Result<DeviceSlice<'_, T>> {
    Err(not_built())
}

fn not_built() -> Error {
    wrap(crate::error::Error::DeviceUnavailable {
        device: "cuda".to_owned(),
        reason: "this build normalizes candle's tensors on the CPU only (feature `candle-cuda`)"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_feature_that_is_missing_is_named() {
        let error = super::super::memory::device_of(&candle_core::Device::Cuda(CudaDevice));
        let message = error.unwrap_err().to_string();
        assert!(
            message.starts_with("device cuda is not available: this build normalizes candle's")
                && message.contains("feature `candle-cuda`"),
            "{message}"
        );
    }
}
