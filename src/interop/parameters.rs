//! All per-channel arrays of a layer together: what checkpoints and other frameworks store.

use crate::arrays::channel_array::ChannelArray;
use crate::backend::Backend;
use crate::element::Compute;
use crate::error::Result;
use crate::layer::BatchNorm;
use crate::shape::check_len;
use crate::statistics::running::RunningStatistics;

/// The values of a layer's arrays, each (C,), and `None` for those it does not have.
#[derive(Debug)]
pub(crate) struct Parameters<C> {
    pub(crate) gamma: Option<Vec<C>>,
    pub(crate) beta: Option<Vec<C>>,
    pub(crate) running: Option<RunningValues<C>>,
}

#[derive(Debug)]
pub(crate) struct RunningValues<C> {
    pub(crate) mean: Vec<C>,
    pub(crate) variance: Vec<C>,
    pub(crate) num_batches_tracked: u64,
}

impl<B: Backend, C: Compute> BatchNorm<B, C> {
    /// Copies of all values.
    pub(crate) fn parameter_values(&self) -> Result<Parameters<C>> {
        let running = match self.running() {
            None => None,
            Some(running) => Some(RunningValues {
                mean: running.mean().to_vec()?,
                variance: running.variance().to_vec()?,
                num_batches_tracked: running.num_batches_tracked(),
            }),
        };
        Ok(Parameters {
            gamma: self.gamma().map(ChannelArray::to_vec).transpose()?,
            beta: self.beta().map(ChannelArray::to_vec).transpose()?,
            running,
        })
    }

    /// Replaces those arrays that are given and that the layer has: all of them, or after an error none.
    pub(crate) fn replace_parameter_values(&mut self, new: &Parameters<C>) -> Result<()> {
        let (backend, channels) = (self.backend(), self.config().channels());
        let array = |what, values: &Option<Vec<C>>| match values {
            None => Ok(None),
            Some(values) => {
                check_len(what, values.len(), channels)?;
                ChannelArray::new(backend, values).map(Some)
            }
        };
        let gamma = array("gamma", &new.gamma)?;
        let beta = array("beta", &new.beta)?;
        let running = match &new.running {
            None => None,
            Some(values) => {
                let mut running = RunningStatistics::new(backend, self.config())?;
                running.set(&values.mean, &values.variance, values.num_batches_tracked)?;
                Some(running)
            }
        };
        // From here on nothing can fail.
        if let (Some(here), Some(new)) = (self.gamma_mut(), gamma) {
            *here = new;
        }
        if let (Some(here), Some(new)) = (self.beta_mut(), beta) {
            *here = new;
        }
        if let (Some(here), Some(new)) = (self.running_mut(), running) {
            *here = new;
        }
        Ok(())
    }
}
