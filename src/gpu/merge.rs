//! What several ranks have of a batch, gathered on the device, merged there to what the whole has: with the bits of a merge on the host, and
//! without waiting.

use crate::backend::operands::{GradientSumsMut, StatisticsMut};
use crate::config::checks::check_training_epsilon;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::driver::Driver;
use crate::gpu::kernel::{Kernel, Operation};
use crate::gpu::launcher::Launcher;
use crate::gpu::plan::launch_plan::{per_channel, signed};
use crate::gpu::workspace::PARTIAL_BYTES;
use crate::shape::check_len;

/// Numbers that a thread may have to hold, as `src/statistics/exact_sum.rs` has it.
const MOST_PARTIALS: usize = 1049;

/// Threads that the workspace has room for.
const MOST_THREADS: usize = PARTIAL_BYTES / size_of::<f64>() / MOST_PARTIALS;

/// Mean, what it rounds away, variance and `1 / sqrt(variance)`.
pub(crate) const STATISTICS_OF_PART: usize = 4;
/// Σ dv·x̂ and Σ dv.
pub(crate) const SUMS_OF_PART: usize = 2;

/// What ranks have gathered: of each rank after the other some arrays, all (C,), and of each its values per channel, `total` in all.
pub(crate) struct Gathered<'a, C: Element, D: Driver> {
    pub(crate) arrays: D::Slice<'a, C>,
    pub(crate) counts: D::Slice<'a, f64>,
    pub(crate) total: usize,
}

impl<D: Driver> Gpu<D> {
    /// The statistics of the whole batch, of those of its parts ([`STATISTICS_OF_PART`] arrays of each, of which the last is taken with
    /// next to no ε).
    pub(crate) fn merge_statistics<C: Compute>(
        &self,
        gathered: Gathered<'_, C, D>,
        epsilon: f64,
        mut out: StatisticsMut<D::SliceMut<'_, C>>,
    ) -> Result<()> {
        check_training_epsilon(epsilon)?;
        let channels = D::len::<C>(&D::reborrow::<C>(&out.mean));
        let mut launcher = Launcher::without_arrays(&self.driver);
        launcher.statistics_out::<C>(&mut out)?;
        launcher.arguments.numbers.epsilon = epsilon;
        launch_merge(
            launcher,
            Operation::MergeStatistics,
            gathered,
            [STATISTICS_OF_PART, channels],
        )
    }

    /// Σ dv·x̂ and Σ dv over the whole batch, of those over its parts ([`SUMS_OF_PART`] arrays of each).
    pub(crate) fn merge_gradients<C: Compute>(
        &self,
        gathered: Gathered<'_, C, D>,
        mut out: GradientSumsMut<D::SliceMut<'_, C>>,
    ) -> Result<()> {
        let channels = D::len::<C>(&D::reborrow::<C>(&out.gamma));
        let mut launcher = Launcher::without_arrays(&self.driver);
        launcher.gradients_out::<C>(&mut out)?;
        launch_merge(
            launcher,
            Operation::MergeGradients,
            gathered,
            [SUMS_OF_PART, channels],
        )
    }
}

fn launch_merge<'a, 'longer: 'a, C: Compute, D: Driver>(
    mut launcher: Launcher<'a, D>,
    operation: Operation,
    Gathered {
        arrays: values,
        counts,
        total,
    }: Gathered<'longer, C, D>,
    [arrays, channels]: [usize; 2],
) -> Result<()> {
    let ranks = D::len::<f64>(&counts);
    let needed = ranks.saturating_mul(arrays).saturating_mul(channels);
    check_len("what the ranks have gathered", D::len::<C>(&values), needed)?;
    launcher.arguments.arrays.x = launcher.read::<C>(values)?;
    launcher.arguments.arrays.dy = launcher.read::<f64>(counts)?;
    launcher.arguments.numbers.count = total as f64;
    launcher.arguments.shape.batch = signed(ranks);
    launcher.arguments.shape.channels = signed(channels);
    let kernel = Kernel::per_channel(operation, C::DTYPE);
    launcher.launch_as(&per_channel(kernel, channels.min(MOST_THREADS)))
}
