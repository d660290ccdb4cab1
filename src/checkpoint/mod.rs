//! Layers to and from [safetensors](https://github.com/huggingface/safetensors) files, under PyTorch's names.
//!
//! | name | what | shape | written as | read as |
//! |---|---|---|---|---|
//! | `weight` | γ, if the layer has one | (C,) | the dtype asked for | f16, bf16, f32, f64 |
//! | `bias` | β, if the layer has one | (C,) | the dtype asked for | f16, bf16, f32, f64 |
//! | `running_mean` | the running mean, if tracked | (C,) | f32, or f64 for `C = f64` | f16, bf16, f32, f64 |
//! | `running_var` | the running variance, if tracked | (C,) | f32, or f64 for `C = f64` | f16, bf16, f32, f64 |
//! | `num_batches_tracked` | the batches followed, if tracked | () | i64 | i64, u64, i32, or a whole f16, bf16, f32, f64 |
//!
//! Each name follows a prefix and a dot, as in `layer1.0.bn1.weight`; after the empty prefix it stands alone. The
//! statistics keep their full precision when the weights are halves, as in mixed-precision training. Settings (ε,
//! momentum, the activation) are in no checkpoint: the layer that loads it has them.
//!
//! Several layers share a file, whose tensors other code may add to:
//!
//! ```
//! use batchnorm::{BatchNorm, BatchNormConfig, Cpu, DType, checkpoint};
//!
//! let cpu = Cpu::new();
//! let first = BatchNorm::new(&cpu, BatchNormConfig::new(8))?;
//! let second = BatchNorm::new(&cpu, BatchNormConfig::new(16))?;
//! let mut tensors = first.to_tensors("layer1.bn1", DType::F32)?;
//! tensors.extend(second.to_tensors("layer1.bn2", DType::BF16)?);
//! let bytes = checkpoint::to_bytes(tensors)?;
//!
//! let file = checkpoint::parse(&bytes)?; // of a file: &checkpoint::read_file(path)?
//! let config = BatchNormConfig::from_tensors(&file, "layer1.bn2")?.epsilon(1e-3);
//! let mut again = BatchNorm::new(&cpu, config)?;
//! again.load_tensors(&file, "layer1.bn2")?;
//! assert_eq!(again.config().channels(), 16);
//! # Ok::<(), batchnorm::Error>(())
//! ```

pub(crate) mod header;
pub(crate) mod load;
pub(crate) mod split;
pub(crate) mod tensor;

use std::collections::HashSet;
use std::path::Path;

use safetensors::{SafeTensorError, SafeTensors, View};
pub use tensor::CheckpointTensor;

use crate::allocate::reserved;
use crate::backend::Backend;
use crate::checkpoint::header::check_header;
use crate::element::{Compute, DType};
use crate::error::brief::brief;
use crate::error::cause::Cause;
use crate::error::{Error, Result};
use crate::layer::BatchNorm;

const WEIGHT: &str = "weight";
const BIAS: &str = "bias";
const RUNNING_MEAN: &str = "running_mean";
const RUNNING_VAR: &str = "running_var";
const NUM_BATCHES_TRACKED: &str = "num_batches_tracked";

/// The name of a tensor in the file.
fn full_name(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// The bytes of a safetensors file with these tensors.
///
/// # Errors
/// [`Error::Checkpoint`] when two tensors have the same name; [`Error::OutOfMemory`].
pub fn to_bytes(tensors: Vec<(String, CheckpointTensor)>) -> Result<Vec<u8>> {
    check_names(&tensors)?;
    check_room(&tensors)?;
    safetensors::serialize(tensors, None).map_err(unusable)
}

/// Writes a safetensors file with these tensors, in place of what may be there: all of it, or after an error nothing.
///
/// It is written under another name first and then renamed, and on Unix only its owner may read it.
///
/// # Errors
/// [`Error::Checkpoint`] when two tensors have the same name, or when the file cannot be written.
pub fn save_file(path: impl AsRef<Path>, tensors: Vec<(String, CheckpointTensor)>) -> Result<()> {
    check_names(&tensors)?;
    safetensors::serialize_to_file(tensors, None, path.as_ref()).map_err(|error| {
        Error::Checkpoint {
            reason: format!("{}: {error}", path.as_ref().display()),
            source: Some(Cause::new(error)),
        }
    })
}

/// `safetensors` ends the program where there is no room for the file.
fn check_room(tensors: &[(String, CheckpointTensor)]) -> Result<()> {
    let data = tensors.iter().map(|(_, tensor)| tensor.data_len());
    reserved::<u8>(data.fold(0, usize::saturating_add)).map(drop)
}

/// `safetensors` panics when a name comes twice.
fn check_names(tensors: &[(String, CheckpointTensor)]) -> Result<()> {
    let mut seen = HashSet::new();
    for (name, _) in tensors {
        if !seen.insert(name) {
            return Err(Error::Checkpoint {
                reason: format!(
                    "two tensors are named {}: give every layer its own prefix",
                    brief(name)
                ),
                source: None,
            });
        }
    }
    Ok(())
}

/// The bytes of a file, to be [`parse`]d.
///
/// # Errors
/// [`Error::Checkpoint`] for a file that cannot be read, or that there is no memory for.
pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    let path = path.as_ref();
    std::fs::read(path).map_err(|error| Error::Checkpoint {
        reason: format!("{}: {error}", path.display()),
        source: Some(Cause::new(error)),
    })
}

/// The tensors of a safetensors file, for any number of layers ([`BatchNorm::load_tensors`]): the file is gone through
/// once.
///
/// # Errors
/// [`Error::Checkpoint`] for bytes that are no whole safetensors file, or whose header would take many times their
/// memory; [`Error::OutOfMemory`].
pub fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>> {
    check_header(bytes)?;
    SafeTensors::deserialize(bytes).map_err(unusable)
}

fn unusable(error: SafeTensorError) -> Error {
    // It may have a name of the file's in it.
    let said = brief(&format_args!("{error}"));
    Error::Checkpoint {
        reason: said,
        source: Some(Cause::new(error)),
    }
}

/// Saving. Names, shapes and dtypes: [`checkpoint`](crate::checkpoint).
impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// The layer's tensors, named for a checkpoint: with those of other layers, for [`to_bytes`], [`save_file`] or
    /// `safetensors::serialize`.
    ///
    /// γ and β are written as `weight_dtype`, rounded to nearest (values beyond its range become infinite, so mind
    /// `f16` above 65504); `C::DTYPE`, which is `f32` unless the layer is a `BatchNorm<_, f64>`, keeps every bit. The
    /// statistics are written in the layer's own type, which always does.
    ///
    /// # Errors
    /// [`Error::Value`] for a number of batches that no i64 holds; when the device fails.
    pub fn to_tensors(
        &self,
        prefix: &str,
        weight_dtype: DType,
    ) -> Result<Vec<(String, CheckpointTensor)>> {
        let parameters = self.parameter_values()?;
        let mut tensors = Vec::new();
        let mut add = |name, tensor| tensors.push((full_name(prefix, name), tensor));
        if let Some(gamma) = &parameters.gamma {
            add(WEIGHT, CheckpointTensor::floats(gamma, weight_dtype)?);
        }
        if let Some(beta) = &parameters.beta {
            add(BIAS, CheckpointTensor::floats(beta, weight_dtype)?);
        }
        if let Some(running) = &parameters.running {
            add(
                RUNNING_MEAN,
                CheckpointTensor::floats(&running.mean, C::DTYPE)?,
            );
            add(
                RUNNING_VAR,
                CheckpointTensor::floats(&running.variance, C::DTYPE)?,
            );
            let count = CheckpointTensor::count(running.num_batches_tracked)?;
            add(NUM_BATCHES_TRACKED, count);
        }
        Ok(tensors)
    }

    /// The bytes of a safetensors file with this layer alone.
    ///
    /// ```
    /// use batchnorm::{BatchNorm, BatchNormConfig, Cpu, DType};
    /// let mut layer = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(2))?;
    /// layer.beta_mut().unwrap().set(&[0.5, -1.0])?;
    /// let bytes = layer.to_bytes("bn1", DType::F16)?;
    ///
    /// layer.beta_mut().unwrap().set(&[0.0, 0.0])?;
    /// layer.load_bytes(&bytes, "bn1")?;
    /// assert_eq!(layer.beta().unwrap().to_vec()?, [0.5, -1.0]);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`to_tensors`](Self::to_tensors).
    pub fn to_bytes(&self, prefix: &str, weight_dtype: DType) -> Result<Vec<u8>> {
        to_bytes(self.to_tensors(prefix, weight_dtype)?)
    }

    /// Writes a safetensors file with this layer alone, as [`save_file`] does.
    ///
    /// # Errors
    /// As [`to_tensors`](Self::to_tensors), and [`Error::Checkpoint`] when the file cannot be written.
    pub fn save_file(
        &self,
        path: impl AsRef<Path>,
        prefix: &str,
        weight_dtype: DType,
    ) -> Result<()> {
        save_file(path, self.to_tensors(prefix, weight_dtype)?)
    }
}
