//! What passes give candle.

use candle_core::op::BackpropOp;
use candle_core::{DType, Result, Storage, Tensor};

use crate::candle::memory::{give, in_type};
use crate::candle::value::Value;
use crate::device::DeviceBuffer;

/// The values of a tensor that is not in candle's graph yet.
pub(super) struct Computed {
    pub(super) storage: Storage,
    /// In memory order.
    pub(super) dims: Vec<usize>,
}

impl Computed {
    pub(super) fn of<T: Value>(
        buffer: DeviceBuffer<T>,
        dims: Vec<usize>,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let storage = give(buffer, device)?;
        Ok(Self { storage, dims })
    }

    /// The same values in a type.
    pub(super) fn in_type(self, dtype: DType) -> Result<Self> {
        if self.storage.dtype() == dtype {
            return Ok(self);
        }
        let layout = candle_core::Layout::contiguous(self.dims.as_slice());
        let storage = in_type(&self.storage, &layout, dtype)?;
        Ok(Self { storage, ..self })
    }

    /// A tensor that depends on nothing.
    pub(super) fn constant(self) -> Tensor {
        Tensor::from_storage(self.storage, self.dims, BackpropOp::none(), false)
    }
}
