//! Values to and from the bytes of a safetensors file.

use batchnorm::Element;
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::Result;

/// A data type that a file can hold, little-endian as safetensors has it.
pub trait Stored: Element {
    /// Its name in a file.
    const STORED_AS: Dtype;
    /// The values of these bytes, wherever they begin: a file need not align them.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
    /// The bytes of these values.
    fn to_bytes(values: &[Self]) -> Vec<u8>;
}

macro_rules! stored {
    ($($float:ty: $name:ident),*) => {$(
        impl Stored for $float {
            const STORED_AS: Dtype = Dtype::$name;

            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                let (values, _) = bytes.as_chunks::<{ size_of::<$float>() }>();
                values.iter().map(|&value| <$float>::from_le_bytes(value)).collect()
            }

            fn to_bytes(values: &[Self]) -> Vec<u8> {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
        }
    )*};
}

stored!(f64: F64, f32: F32, f16: F16, bf16: BF16);

/// The values of a tensor of any float type, exactly.
pub fn as_f64(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f64>> {
    fn widened<T: Stored>(bytes: &[u8]) -> Vec<f64> {
        T::from_bytes(bytes).into_iter().map(T::to_f64).collect()
    }
    let bytes = tensor.data();
    match tensor.dtype() {
        Dtype::F64 => Ok(widened::<f64>(bytes)),
        Dtype::F32 => Ok(widened::<f32>(bytes)),
        Dtype::F16 => Ok(widened::<f16>(bytes)),
        Dtype::BF16 => Ok(widened::<bf16>(bytes)),
        other => Err(not_a_float(name, other)),
    }
}

pub(crate) fn not_a_float(name: &str, found: Dtype) -> Box<dyn std::error::Error> {
    format!("tensor {name:?} is {found:?}, needed is F64, F32, F16 or BF16").into()
}
