//! The data types that tensors can be of.

use candle_core::WithDType;

use crate::candle::gpu::CudaDType;
use crate::element::Element;

/// A data type that both candle and this crate have.
pub(super) trait Value: Element + WithDType + CudaDType {}

impl<T: Element + WithDType + CudaDType> Value for T {}
