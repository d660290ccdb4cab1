//! A golden file, read.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use replay_cases::case::tensors::as_f64;
use safetensors::{Dtype, SafeTensors};

/// The tensors by name, and the settings.
pub(crate) struct GoldenFile {
    pub(crate) tensors: BTreeMap<String, Golden>,
    pub(crate) metadata: HashMap<String, String>,
}

/// A tensor.
pub(crate) struct Golden {
    pub(crate) dtype: Dtype,
    pub(crate) dims: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
    /// The values, exactly; of a counter none.
    pub(crate) values: Vec<f64>,
}

impl GoldenFile {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let file = SafeTensors::deserialize(bytes).unwrap();
        let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
        let tensors = file.tensors().into_iter().map(|(name, tensor)| {
            let golden = Golden {
                dtype: tensor.dtype(),
                dims: tensor.shape().to_vec(),
                bytes: tensor.data().to_vec(),
                values: as_f64(&name, &tensor).unwrap_or_default(),
            };
            (name, golden)
        });
        Self {
            tensors: tensors.collect(),
            metadata: header.metadata().clone().unwrap_or_default(),
        }
    }

    /// The values of a tensor, or where there is none these.
    pub(crate) fn values_or(&self, name: &str, count: usize, value: f64) -> Vec<f64> {
        match self.tensors.get(name) {
            Some(tensor) => tensor.values.clone(),
            None => vec![value; count],
        }
    }

    pub(crate) fn says(&self, key: &str, value: &str) -> bool {
        self.metadata.get(key).is_some_and(|found| found == value)
    }
}

/// The bytes of `cases/NAME.safetensors` or `expected/NAME.safetensors`.
pub(crate) fn bytes_of(folder: &str, name: &str) -> Vec<u8> {
    let path = root().join(folder).join(name).with_extension("safetensors");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the cases, in order.
pub(crate) fn names() -> Vec<String> {
    let entries = std::fs::read_dir(root().join("cases")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// `BATCHNORM_GOLDEN`, for a machine without this source.
fn root() -> PathBuf {
    let here = || concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden").into();
    std::env::var_os("BATCHNORM_GOLDEN")
        .unwrap_or_else(here)
        .into()
}
