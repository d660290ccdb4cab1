//! The data types that tensors can be of.

use candle_core::{DType, Result, WithDType};

use crate::candle::error::wrap;
use crate::candle::gpu::CudaDType;
use crate::element::{Element, match_dtype};
use crate::error::Error;

/// A data type that both candle and this crate have.
pub(super) trait Value: Element + WithDType + CudaDType {}

impl<T: Element + WithDType + CudaDType> Value for T {}

/// The type that values of a type are computed in, which is the parameters' too.
pub(super) fn compute_type(what: &str, dtype: DType) -> Result<DType> {
    match_dtype!(
        dtype, DType as T => Ok(<<T as Element>::Compute as WithDType>::DTYPE),
        other => Err(not_a_type(what, other)),
    )
}

pub(super) fn not_a_type(what: &str, dtype: DType) -> candle_core::Error {
    wrong_type(what, dtype, "F16, BF16, F32 or F64")
}

/// The error for a tensor of another type than is needed.
pub(super) fn wrong_type(name: &str, found: DType, needed: &'static str) -> candle_core::Error {
    wrap(Error::TensorDType {
        name: name.to_owned(),
        found: format!("{found:?}"),
        needed,
    })
}
