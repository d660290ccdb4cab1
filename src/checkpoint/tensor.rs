//! One tensor of a checkpoint: values to bytes and back, at any alignment.

use std::borrow::Cow;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, View};

use crate::element::{Compute, DType, Element};
use crate::error::{Error, Result};

/// A tensor to be written to a checkpoint: dtype, shape and little-endian bytes.
///
/// As a [`safetensors::View`] it can be given to `safetensors::serialize` together with tensors of other code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl CheckpointTensor {
    /// A per-channel array (C,), rounded to `dtype`.
    pub(super) fn floats<C: Compute>(values: &[C], dtype: DType) -> Self {
        let exact = values.iter().map(|value| value.to_f64());
        let (dtype, bytes) = match dtype {
            DType::F16 => (
                Dtype::F16,
                exact
                    .flat_map(|x| <f16 as Element>::from_f64(x).to_le_bytes())
                    .collect(),
            ),
            DType::BF16 => (
                Dtype::BF16,
                exact
                    .flat_map(|x| <bf16 as Element>::from_f64(x).to_le_bytes())
                    .collect(),
            ),
            DType::F32 => (
                Dtype::F32,
                exact
                    .flat_map(|x| <f32 as Element>::from_f64(x).to_le_bytes())
                    .collect(),
            ),
            DType::F64 => (Dtype::F64, exact.flat_map(f64::to_le_bytes).collect()),
        };
        Self {
            dtype,
            shape: vec![values.len()],
            bytes,
        }
    }

    /// A number of batches, as PyTorch has it: an i64 without dimensions.
    pub(super) fn count(count: u64) -> Result<Self> {
        let signed = i64::try_from(count).map_err(|_| Error::Value {
            what: "num_batches_tracked",
            found: count.to_string(),
            needed: "at most 2^63 - 1 to be saved, as an i64",
        })?;
        Ok(Self {
            dtype: Dtype::I64,
            shape: Vec::new(),
            bytes: signed.to_le_bytes().to_vec(),
        })
    }
}

impl View for CheckpointTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A per-channel array (C,) from the file, rounded to the layer's type.
pub(super) fn read_floats<C: Compute>(
    name: &str,
    tensor: &TensorView<'_>,
    channels: usize,
) -> Result<Vec<C>> {
    let bytes = tensor.data();
    let values = match tensor.dtype() {
        Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        Dtype::F32 => decode(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F64 => decode(bytes, f64::from_le_bytes),
        other => return Err(wrong_dtype(name, other, "F16, BF16, F32 or F64")),
    };
    if tensor.shape() != [channels] {
        return Err(wrong_shape(name, tensor, &[channels]));
    }
    Ok(values)
}

/// A number of batches from the file.
pub(super) fn read_count(name: &str, tensor: &TensorView<'_>) -> Result<u64> {
    let bytes = tensor.data();
    let counts: Vec<i128> = match tensor.dtype() {
        Dtype::I64 => read(bytes, |b| i64::from_le_bytes(b).into()),
        Dtype::U64 => read(bytes, |b| u64::from_le_bytes(b).into()),
        Dtype::I32 => read(bytes, |b| i32::from_le_bytes(b).into()),
        other => return Err(wrong_dtype(name, other, "I64, U64 or I32")),
    };
    match (&counts[..], tensor.shape()) {
        // Some writers have no tensors without dimensions, and store (1,).
        (&[count], [] | [1]) => u64::try_from(count).map_err(|_| Error::Checkpoint {
            reason: format!("tensor {name:?} is {count}, needed is a number of batches, 0 or more"),
        }),
        _ => Err(wrong_shape(name, tensor, &[])),
    }
}

fn decode<const SIZE: usize, C: Compute>(
    bytes: &[u8],
    value: impl Fn([u8; SIZE]) -> f64,
) -> Vec<C> {
    read(bytes, |b| C::from_f64(value(b)))
}

fn read<const SIZE: usize, V>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> V) -> Vec<V> {
    let (values, _) = bytes.as_chunks::<SIZE>();
    values.iter().map(|&bytes| value(bytes)).collect()
}

fn wrong_dtype(name: &str, found: Dtype, needed: &'static str) -> Error {
    Error::TensorDType {
        name: name.to_owned(),
        found: found.to_string(),
        needed,
    }
}

fn wrong_shape(name: &str, tensor: &TensorView<'_>, needed: &[usize]) -> Error {
    Error::TensorShape {
        name: name.to_owned(),
        found: tensor.shape().to_vec(),
        needed: needed.to_vec(),
    }
}
