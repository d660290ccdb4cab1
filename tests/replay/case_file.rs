//! Cases made up for the tests of the command line.

use std::collections::HashMap;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

/// A case that is not yet a file.
#[derive(Clone)]
pub(crate) struct CaseFile {
    tensors: Vec<(&'static str, Dtype, Vec<usize>, Vec<u8>)>,
    metadata: HashMap<String, String>,
}

impl CaseFile {
    /// x of f32, and nothing else.
    pub(crate) fn of_x(dims: &[usize]) -> Self {
        let empty = Self {
            tensors: Vec::new(),
            metadata: HashMap::new(),
        };
        empty.with_floats("x", dims)
    }

    /// Everything that a case may have.
    pub(crate) fn complete(dims: &[usize]) -> Self {
        let channels = &dims[1..2];
        let mut case = Self::of_x(dims);
        for name in ["weight", "bias", "running_mean", "running_var"] {
            case = case.with_floats(name, channels);
        }
        case.with_floats("dy", dims).with_floats("residual", dims)
    }

    /// Adds or replaces a tensor of f32.
    pub(crate) fn with_floats(self, name: &'static str, dims: &[usize]) -> Self {
        let bytes = floats(name, dims.iter().product());
        let bytes = bytes.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.with(name, Dtype::F32, dims, bytes)
    }

    /// Adds or replaces a tensor.
    pub(crate) fn with(
        mut self,
        name: &'static str,
        dtype: Dtype,
        dims: &[usize],
        bytes: Vec<u8>,
    ) -> Self {
        self.tensors.retain(|tensor| tensor.0 != name);
        self.tensors.push((name, dtype, dims.to_vec(), bytes));
        self
    }

    /// Says something in the metadata.
    pub(crate) fn saying(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, dims, bytes)| {
            (*name, TensorView::new(*dtype, dims.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, Some(self.metadata.clone())).unwrap()
    }
}

/// The same file with another length of header, so that no value is aligned.
pub(crate) fn unaligned(file: &[u8]) -> Vec<u8> {
    let (length, rest) = file.split_first_chunk::<8>().unwrap();
    let length = u64::from_le_bytes(*length);
    let (header, values) = rest.split_at(usize::try_from(length).unwrap());
    [&(length + 1).to_le_bytes(), header, b" ", values].concat()
}

/// A file with this header and no values.
pub(crate) fn only_header(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

/// Values that look random, from 0.5 to 1.5: variances must be positive.
pub(crate) fn floats(name: &str, count: usize) -> Vec<f32> {
    let mut random = SplitMix64::seed_from_u64(u64::from(name.as_bytes()[0]));
    let next = |_| 0.5 + (random.next_u32() >> 16) as f32 / 65536.0;
    (0..count).map(next).collect()
}
