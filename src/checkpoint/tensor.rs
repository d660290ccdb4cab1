//! One tensor of a checkpoint: values to bytes and back, at any alignment.

use std::borrow::Cow;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, View};

use crate::allocate::{collected, reserved};
use crate::cpu::simd::floating_point_mode::DefaultMode;
use crate::element::{Compute, DType, Element};
use crate::error::brief::brief;
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
    pub(super) fn floats<C: Compute>(values: &[C], dtype: DType) -> Result<Self> {
        let _mode = DefaultMode::enter();
        let (dtype, bytes) = match dtype {
            DType::F16 => (
                Dtype::F16,
                encode(values, |x| <f16 as Element>::from_f64(x).to_le_bytes())?,
            ),
            DType::BF16 => (
                Dtype::BF16,
                encode(values, |x| <bf16 as Element>::from_f64(x).to_le_bytes())?,
            ),
            DType::F32 => (
                Dtype::F32,
                encode(values, |x| <f32 as Element>::from_f64(x).to_le_bytes())?,
            ),
            DType::F64 => (Dtype::F64, encode(values, f64::to_le_bytes)?),
        };
        Ok(Self {
            dtype,
            shape: vec![values.len()],
            bytes,
        })
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

fn encode<const SIZE: usize, C: Compute>(
    values: &[C],
    bytes: impl Fn(f64) -> [u8; SIZE],
) -> Result<Vec<u8>> {
    let mut encoded = reserved(values.len().saturating_mul(SIZE))?;
    for value in values {
        encoded.extend_from_slice(&bytes(value.to_f64()));
    }
    Ok(encoded)
}

/// A per-channel array (C,) from the file, rounded to the layer's type.
pub(super) fn read_floats<C: Compute>(
    name: &str,
    tensor: &TensorView<'_>,
    channels: usize,
) -> Result<Vec<C>> {
    let bytes = tensor.data();
    let is_array = tensor.shape() == [channels];
    match tensor.dtype() {
        Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 if !is_array => {
            Err(wrong_shape(name, tensor, &[channels]))
        }
        Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f64()),
        Dtype::F32 => decode(bytes, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F64 => decode(bytes, f64::from_le_bytes),
        other => Err(wrong_dtype(name, other, "F16, BF16, F32 or F64")),
    }
}

/// A number of batches from the file. Some writers store it as a float.
pub(super) fn read_count(name: &str, tensor: &TensorView<'_>) -> Result<u64> {
    // Some writers have no tensors without dimensions, and store (1,).
    if !matches!(tensor.shape(), [] | [1]) {
        return Err(wrong_shape(name, tensor, &[]));
    }
    let bytes = tensor.data();
    let (count, said) = match tensor.dtype() {
        Dtype::I64 => whole(one(bytes, i64::from_le_bytes)),
        Dtype::U64 => whole(one(bytes, u64::from_le_bytes)),
        Dtype::I32 => whole(one(bytes, i32::from_le_bytes)),
        Dtype::F16 => whole_float(one(bytes, |b| f16::from_le_bytes(b).to_f64())),
        Dtype::BF16 => whole_float(one(bytes, |b| bf16::from_le_bytes(b).to_f64())),
        Dtype::F32 => whole_float(one(bytes, |b| f64::from(f32::from_le_bytes(b)))),
        Dtype::F64 => whole_float(one(bytes, f64::from_le_bytes)),
        other => {
            let needed = "I64, U64, I32, F16, BF16, F32 or F64";
            return Err(wrong_dtype(name, other, needed));
        }
    };
    count.ok_or_else(|| Error::Checkpoint {
        reason: format!(
            "tensor {} is {said}, needed is a number of batches, 0 or more",
            brief(name)
        ),
        source: None,
    })
}

/// The value of a tensor of one.
fn one<const SIZE: usize, V>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> V) -> Option<V> {
    bytes.try_into().ok().map(value)
}

/// The count, unless it is negative, and how the file has it.
fn whole<V: TryInto<u64> + ToString>(value: Option<V>) -> (Option<u64>, String) {
    let said = value.as_ref().map_or_else(String::new, V::to_string);
    (value.and_then(|value| value.try_into().ok()), said)
}

/// As [`whole`], also unless there is a fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is whole, and in the range of u64"
)]
fn whole_float(value: Option<f64>) -> (Option<u64>, String) {
    let is_count = |value: &f64| value.fract() == 0.0 && (0.0..2.0f64.powi(64)).contains(value);
    let said = value.map_or_else(String::new, |value| value.to_string());
    (value.filter(is_count).map(|value| value as u64), said)
}

fn decode<const SIZE: usize, C: Compute>(
    bytes: &[u8],
    value: impl Fn([u8; SIZE]) -> f64,
) -> Result<Vec<C>> {
    let _mode = DefaultMode::enter();
    let (values, _) = bytes.as_chunks::<SIZE>();
    collected(values.iter().map(|&bytes| C::from_f64(value(bytes))))
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
