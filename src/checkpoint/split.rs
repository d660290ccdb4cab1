//! Layers of several sets: each set under its number.

use safetensors::SafeTensors;

use crate::allocate::reserved;
use crate::backend::Backend;
use crate::checkpoint::tensor::CheckpointTensor;
use crate::checkpoint::{BIAS, RUNNING_MEAN, RUNNING_VAR, WEIGHT, full_name};
use crate::element::{Compute, DType};
use crate::error::brief::brief;
use crate::error::{Error, Result};
use crate::layer::split::SplitBatchNorm;

/// Saving and loading: each set under the prefix and its number, as a `ModuleList` of PyTorch has it (`bns.0.weight` after the prefix `bns`).
/// Where the layer shares its γ and β, only set 0 has `weight` and `bias`. Names within a set, shapes and dtypes:
/// [`checkpoint`](crate::checkpoint). A set that another library has under another name is loaded by itself
/// ([`set_mut`](SplitBatchNorm::set_mut)).
impl<B: Backend, C: Compute> SplitBatchNorm<B, C> {
    /// The tensors of all sets.
    ///
    /// ```
    /// use batchnorm::{BatchNormConfig, Cpu, DType, SplitBatchNorm, checkpoint};
    /// let mut layer = SplitBatchNorm::new(&Cpu::new(), BatchNormConfig::new(2), 3)?;
    /// layer.set_mut(2).unwrap().beta_mut().unwrap().set(&[0.5, -1.0])?;
    /// let bytes = checkpoint::to_bytes(layer.to_tensors("bns", DType::F32)?)?;
    ///
    /// let mut again = SplitBatchNorm::new(&Cpu::new(), BatchNormConfig::new(2), 3)?;
    /// again.load_tensors(&checkpoint::parse(&bytes)?, "bns")?;
    /// assert_eq!(again.sets()[2].beta().unwrap().to_vec()?, [0.5, -1.0]);
    /// # Ok::<(), batchnorm::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`BatchNorm::to_tensors`](crate::BatchNorm::to_tensors).
    pub fn to_tensors(
        &self,
        prefix: &str,
        weight_dtype: DType,
    ) -> Result<Vec<(String, CheckpointTensor)>> {
        let mut tensors = Vec::new();
        for (number, set) in self.sets().iter().enumerate() {
            let of_set = full_name(prefix, &number.to_string());
            tensors.extend(set.to_tensors(&of_set, weight_dtype)?);
        }
        Ok(tensors)
    }

    /// Replaces everything in all sets by that of a checkpoint.
    ///
    /// # Errors
    /// As [`BatchNorm::load_tensors`](crate::BatchNorm::load_tensors), for any set, and [`Error::Checkpoint`] for a set that the layer does
    /// not have; then none has changed.
    pub fn load_tensors(&mut self, tensors: &SafeTensors<'_>, prefix: &str) -> Result<()> {
        let beyond = full_name(prefix, &self.sets().len().to_string());
        for name in [WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR] {
            let name = full_name(&beyond, name);
            if tensors.tensor(&name).is_ok() {
                return Err(Error::Checkpoint {
                    reason: format!(
                        "it has {}, and the layer has {} sets, counted from 0",
                        brief(&name),
                        self.sets().len()
                    ),
                    source: None,
                });
            }
        }
        let mut sets = reserved(self.sets().len())?;
        for (number, set) in self.sets().iter().enumerate() {
            let mut loaded = set.try_clone()?;
            loaded.load_tensors(tensors, &full_name(prefix, &number.to_string()))?;
            sets.push(loaded);
        }
        self.replace_sets(sets);
        Ok(())
    }
}
