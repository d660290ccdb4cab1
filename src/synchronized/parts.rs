//! What ranks tell of their parts, statistics or gradient sums, and what it is together.

use crate::allocate::reserved;
use crate::backend::operands::GradientSums;
use crate::error::{Error, Result};
use crate::statistics::gradients::PooledGradients;
use crate::statistics::merge::Part;
use crate::statistics::pooled::PooledStatistics;
use crate::synchronized::message::{Messages, OfLayer};

/// Writes a part's statistics for the other ranks.
pub(crate) fn tell_statistics(mut layer: OfLayer<'_>, part: &PooledStatistics) {
    let part = part.as_part();
    layer.set_count(part.count);
    for (index, array) in [part.mean, part.mean_low, part.m2].into_iter().enumerate() {
        // Those of no values are none.
        layer.array_mut(index)[..array.len()].copy_from_slice(array);
    }
}

/// The statistics of all ranks' parts together, of one of the layers.
///
/// # Errors
/// [`Error::TooFewValues`] for one value per channel in all.
pub(crate) fn merged_statistics(
    messages: &Messages<'_>,
    layer: usize,
    channels: usize,
) -> Result<PooledStatistics> {
    let told = messages.of_layer(layer);
    let mut parts = reserved(told.len())?;
    parts.extend(told.map(|part| Part {
        count: part.count(),
        mean: part.array(0),
        mean_low: part.array(1),
        m2: part.array(2),
    }));
    let whole = PooledStatistics::of_parts(channels, &parts)?;
    if whole.count() == 1 {
        return Err(Error::TooFewValues {
            found: 1,
            shape: "of all ranks together".to_owned(),
        });
    }
    Ok(whole)
}

/// dγ and dβ, of this rank's part and of all.
pub(crate) struct RankSums {
    pub(crate) local: PooledGradients,
    pub(crate) whole: PooledGradients,
}

/// Writes a part's gradient sums for the other ranks.
pub(crate) fn tell_sums(mut layer: OfLayer<'_>, part: &PooledGradients) {
    layer.set_count(part.count());
    layer.array_mut(0).copy_from_slice(part.gamma());
    layer.array_mut(1).copy_from_slice(part.beta());
}

/// The gradient sums of all ranks' parts together, of one of the layers.
pub(crate) fn merged_sums(
    messages: &Messages<'_>,
    layer: usize,
    channels: usize,
) -> Result<PooledGradients> {
    let told = messages.of_layer(layer);
    let mut parts = reserved(told.len())?;
    parts.extend(told.map(|part| GradientSums {
        gamma: part.array(0),
        beta: part.array(1),
        count: part.count(),
    }));
    PooledGradients::of_parts(channels, &parts)
}
