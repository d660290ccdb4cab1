//! One tensor of a checkpoint: values to bytes and back, at any alignment.

use std::borrow::Cow;

use bytemuck::{bytes_of, bytes_of_mut};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, View};

use crate::allocate::reserved;
use crate::element::{Compute, DType, Element, match_dtype};
use crate::error::brief::brief;
use crate::error::{Error, Result};
use crate::floating_point_mode::DefaultMode;
use crate::narrowed::narrowed;

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
        Ok(Self {
            dtype: name_in_file(dtype),
            bytes: match_dtype!(dtype, DType as T => encode::<T, C>(values)?),
            shape: vec![values.len()],
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

fn name_in_file(dtype: DType) -> Dtype {
    match dtype {
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

/// The nearest values of type `T`, little-endian on every machine.
fn encode<T: Element, C: Compute>(values: &[C]) -> Result<Vec<u8>> {
    let mut encoded = reserved(values.len().saturating_mul(size_of::<T>()))?;
    for value in values {
        let (at, value) = (encoded.len(), T::from_f64(value.to_f64()));
        encoded.extend_from_slice(bytes_of(&value));
        if cfg!(target_endian = "big") {
            encoded[at..].reverse();
        }
    }
    Ok(encoded)
}

/// The value of type `T` that these bytes, as many as it has, are little-endian.
fn value_of<T: Element>(bytes: &[u8]) -> f64 {
    let mut value = T::default();
    let own = bytes_of_mut(&mut value);
    own.copy_from_slice(bytes);
    if cfg!(target_endian = "big") {
        own.reverse();
    }
    value.to_f64()
}

/// A per-channel array (C,) from the file, rounded to the layer's type.
pub(super) fn read_floats<C: Compute>(
    name: &str,
    tensor: &TensorView<'_>,
    channels: usize,
) -> Result<Vec<C>> {
    match_dtype!(
        tensor.dtype(), Dtype as T => match tensor.shape() {
            [found] if *found == channels => decode::<T, C>(name, tensor.data()),
            _ => Err(wrong_shape(name, tensor, &[channels])),
        },
        other => Err(wrong_dtype(name, other, "F16, BF16, F32 or F64")),
    )
}

/// A number of batches from the file. Some writers store it as a float.
pub(super) fn read_count(name: &str, tensor: &TensorView<'_>) -> Result<u64> {
    // Some writers have no tensors without dimensions, and store (1,).
    if !matches!(tensor.shape(), [] | [1]) {
        return Err(wrong_shape(name, tensor, &[]));
    }
    let bytes = tensor.data();
    let (count, said) = match_dtype!(
        tensor.dtype(), Dtype as T => {
            let is_one = bytes.len() == size_of::<T>();
            whole_float(is_one.then(|| value_of::<T>(bytes)))
        },
        Dtype::I64 => whole(one(bytes, i64::from_le_bytes)),
        Dtype::U64 => whole(one(bytes, u64::from_le_bytes)),
        Dtype::I32 => whole(one(bytes, i32::from_le_bytes)),
        other => {
            let needed = "I64, U64, I32, F16, BF16, F32 or F64";
            return Err(wrong_dtype(name, other, needed));
        },
    );
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

fn decode<T: Element, C: Compute>(name: &str, bytes: &[u8]) -> Result<Vec<C>> {
    let _mode = DefaultMode::enter();
    let values = bytes.chunks_exact(size_of::<T>()).map(value_of::<T>);
    narrowed(values, |channel, value| Error::Checkpoint {
        reason: format!(
            "tensor {} is {value:?} in channel {channel}, beyond the range of the layer's {}",
            brief(name),
            C::DTYPE
        ),
        source: None,
    })
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
