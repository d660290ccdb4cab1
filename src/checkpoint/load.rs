//! From a checkpoint into a layer. Everything is read and checked before anything is changed.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::backend::Backend;
use crate::checkpoint::tensor::{read_count, read_floats};
use crate::checkpoint::{
    BIAS, NUM_BATCHES_TRACKED, RUNNING_MEAN, RUNNING_VAR, WEIGHT, full_name, parse, read_file,
};
use crate::config::BatchNormConfig;
use crate::config::averaging::Averaging;
use crate::element::Compute;
use crate::error::brief::brief;
use crate::error::{Error, Result};
use crate::interop::parameters::{Parameters, RunningValues};
use crate::layer::BatchNorm;

/// How many names an error lists, of a file that may have thousands.
const NAMES_LISTED: usize = 8;

/// Loading. Names, shapes and dtypes: [`checkpoint`](crate::checkpoint).
impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// Replaces γ, β and the running statistics by those of a checkpoint, rounded to the layer's type.
    ///
    /// A checkpoint without `num_batches_tracked` (PyTorch's before 2018) counts 0 batches, and is refused by a layer of
    /// [`Averaging::Cumulative`], which weighs the next batch by it: load it with [`Averaging::Exponential`], or give the
    /// number with [`RunningStatistics::set`](crate::RunningStatistics::set). Other tensors under the
    /// prefix are ignored, unless the layer would then compute something else than the one that was saved: a `weight`
    /// that is not all ones for a layer without γ, a `bias` that is not all zeros for one without β, and running
    /// statistics for one that keeps none are errors.
    ///
    /// # Errors
    /// After any of these the layer is as it was: [`Error::MissingTensor`], [`Error::TensorDType`],
    /// [`Error::TensorShape`]; [`Error::Value`] for a running variance that is below zero or NaN; [`Error::Checkpoint`] for a negative
    /// `num_batches_tracked`, for a finite value that the layer's type is too small for, and for tensors that the
    /// layer has no place for, as above; when the device fails.
    pub fn load_tensors(&mut self, tensors: &SafeTensors<'_>, prefix: &str) -> Result<()> {
        let config = self.config();
        let stored = Stored {
            tensors,
            prefix,
            channels: config.channels(),
        };
        let gamma = if config.has_gamma() {
            Some(stored.floats(WEIGHT)?)
        } else {
            stored.check_all(WEIGHT, 1.0, "not all ones, and the layer has no gamma")?;
            None
        };
        let beta = if config.has_beta() {
            Some(stored.floats(BIAS)?)
        } else {
            stored.check_all(BIAS, 0.0, "not all zeros, and the layer has no beta")?;
            None
        };
        let running = if self.running().is_some() {
            Some(RunningValues {
                mean: stored.floats(RUNNING_MEAN)?,
                variance: stored.floats(RUNNING_VAR)?,
                num_batches_tracked: stored.count(config.averaging_kind())?,
            })
        } else {
            stored.check_absent(RUNNING_MEAN, "the layer keeps no running statistics")?;
            stored.check_absent(RUNNING_VAR, "the layer keeps no running statistics")?;
            None
        };
        self.replace_parameter_values(&Parameters {
            gamma,
            beta,
            running,
        })
    }

    /// [`load_tensors`](Self::load_tensors) from the bytes of a safetensors file, at any alignment. For several layers of
    /// one file, [`parse`](crate::checkpoint::parse) it once.
    ///
    /// # Errors
    /// As [`load_tensors`](Self::load_tensors), and [`Error::Checkpoint`] for bytes that are no whole safetensors file.
    pub fn load_bytes(&mut self, bytes: &[u8], prefix: &str) -> Result<()> {
        self.load_tensors(&parse(bytes)?, prefix)
    }

    /// [`load_tensors`](Self::load_tensors) from a safetensors file. For several layers of one file,
    /// [`read`](crate::checkpoint::read_file) and [`parse`](crate::checkpoint::parse) it once.
    ///
    /// # Errors
    /// As [`load_bytes`](Self::load_bytes), and [`Error::Checkpoint`] for a file that cannot be read.
    pub fn load_file(&mut self, path: impl AsRef<Path>, prefix: &str) -> Result<()> {
        self.load_bytes(&read_file(path)?, prefix)
    }
}

impl BatchNormConfig {
    /// The settings of the layer stored under a prefix, as far as its tensors tell: the number of channels, whether it
    /// has γ and β, and whether it keeps running statistics.
    ///
    /// ε, momentum, the running variance's estimate and the activation are in no checkpoint: they are PyTorch's
    /// defaults, to be changed where the layer's were others. An example is at [`checkpoint`](crate::checkpoint).
    ///
    /// # Errors
    /// [`Error::MissingTensor`] if there is no `weight`, `bias`, `running_mean` or `running_var` under the prefix.
    pub fn from_tensors(tensors: &SafeTensors<'_>, prefix: &str) -> Result<Self> {
        let stored = |name| tensors.tensor(&full_name(prefix, name)).ok();
        let (gamma, beta) = (stored(WEIGHT), stored(BIAS));
        let running = stored(RUNNING_MEAN).or(stored(RUNNING_VAR));
        let Some(array) = gamma.as_ref().or(beta.as_ref()).or(running.as_ref()) else {
            return Err(missing(tensors, prefix, WEIGHT));
        };
        // An array of another shape than (C,) is refused when it is loaded.
        let config = Self::new(array.shape().iter().product())
            .gamma(gamma.is_some())
            .beta(beta.is_some());
        Ok(match running {
            Some(_) => config,
            None => config.averaging(Averaging::Off),
        })
    }
}

/// The tensors of one layer.
struct Stored<'a, 'data> {
    tensors: &'a SafeTensors<'data>,
    prefix: &'a str,
    channels: usize,
}

impl<'data> Stored<'_, 'data> {
    /// The full name, and the tensor if there is one.
    fn find(&self, name: &str) -> (String, Option<TensorView<'data>>) {
        let full = full_name(self.prefix, name);
        let tensor = self.tensors.tensor(&full).ok();
        (full, tensor)
    }

    fn floats<C: Compute>(&self, name: &str) -> Result<Vec<C>> {
        match self.find(name) {
            (full, Some(tensor)) => read_floats(&full, &tensor, self.channels),
            (_, None) => Err(missing(self.tensors, self.prefix, name)),
        }
    }

    fn count(&self, averaging: Averaging) -> Result<u64> {
        match self.find(NUM_BATCHES_TRACKED) {
            (full, Some(tensor)) => read_count(&full, &tensor),
            // An average of 0 batches is replaced by the next one.
            (_, None) if averaging == Averaging::Cumulative => {
                Err(missing(self.tensors, self.prefix, NUM_BATCHES_TRACKED))
            }
            (_, None) => Ok(0),
        }
    }

    /// An array that the layer does not have must be absent, or what the layer computes with in its place.
    #[expect(clippy::float_cmp, reason = "any other value changes the result")]
    fn check_all(&self, name: &str, value: f64, otherwise: &str) -> Result<()> {
        let (full, Some(tensor)) = self.find(name) else {
            return Ok(());
        };
        let found: Vec<f64> = read_floats(&full, &tensor, self.channels)?;
        if found.iter().all(|&found| found == value) {
            return Ok(());
        }
        Err(unplaced(&full, otherwise))
    }

    fn check_absent(&self, name: &str, otherwise: &str) -> Result<()> {
        match self.find(name) {
            (full, Some(_)) => Err(unplaced(&full, otherwise)),
            (_, None) => Ok(()),
        }
    }
}

fn unplaced(name: &str, why: &str) -> Error {
    Error::Checkpoint {
        reason: format!(
            "tensor {} has no place in the layer: {why} (BatchNormConfig::from_tensors makes one that fits)",
            brief(name)
        ),
        source: None,
    }
}

/// The error that lists what there is: the layer's own tensors, or if there are none the file's.
fn missing(tensors: &SafeTensors<'_>, prefix: &str, name: &str) -> Error {
    let mut names = tensors.names();
    names.sort_unstable();
    let under_prefix = full_name(prefix, "");
    if names.iter().any(|name| name.starts_with(&under_prefix)) {
        names.retain(|name| name.starts_with(&under_prefix));
    }
    let listed = names.iter().take(NAMES_LISTED);
    let listed: Vec<String> = listed.map(brief).collect();
    let listed = listed.join(", ");
    let available = match names.len() {
        0 => "no tensors".to_owned(),
        all if all <= NAMES_LISTED => listed,
        all => format!("{listed} and {} more", all - NAMES_LISTED),
    };
    Error::MissingTensor {
        name: full_name(prefix, name),
        available,
    }
}
