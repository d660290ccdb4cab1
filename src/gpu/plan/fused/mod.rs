//! Which kernel does a whole pass in one launch, where one does.
//!
//! | a channel's bytes (twice as many backward) | planes | columns |
//! |---|---|---|
//! | fit one block's shared memory, or a cluster's | on chip | on chip |
//! | do not, and the array fits the second-level cache | split | persistent |
//! | do not, nor does the array | ticketed | persistent |
//!
//! On chip and ticketed move the least bytes there are from memory; persistent moves those that neither shared memory
//! nor the cache keeps once more; split moves everything once more, mostly from the cache.

mod columns;
mod planes;

use crate::element::DType;
use crate::gpu::driver::Attributes;
use crate::gpu::kernel::{Kernel, Strategy};
use crate::gpu::plan::split::BLOCKS_PER_MULTIPROCESSOR;
use crate::gpu::plan::tuning::{CLUSTERS, Tuning};
use crate::gpu::plan::view::{Arrangement, View};
use crate::gpu::plan::{LaunchPlan, MOST_BLOCKS, Pass};

/// Shared memory of a block that is not for packets: what the driver takes for itself, and the kernels' own arrays.
const RESERVED: usize = 2 << 10;
/// A part of a channel smaller than this is not worth another block of a cluster.
const SMALLEST_PART: usize = 8 << 10;

/// The pass in one launch; none where split steps are better, or nothing else is possible.
pub fn fused(
    pass: Pass,
    view: &View,
    dtype: DType,
    device: &Attributes,
    tuning: &Tuning,
) -> Option<LaunchPlan> {
    let query = PlanQuery {
        pass,
        view,
        dtype,
        device,
        tuning,
    };
    query.plan()
}

/// A pass over an array of one shape and type on one device: all that a plan depends on.
struct PlanQuery<'a> {
    pass: Pass,
    view: &'a View,
    dtype: DType,
    device: &'a Attributes,
    tuning: &'a Tuning,
}

impl PlanQuery<'_> {
    /// That of the first strategy that can do it.
    fn plan(&self) -> Option<LaunchPlan> {
        let strategies: &[Strategy] = match (self.tuning.strategy, self.view.arrangement) {
            (Some(strategy), _) => &[strategy],
            (None, Arrangement::Planes) => &[Strategy::OnChip, Strategy::Ticketed],
            (None, Arrangement::Columns) => &[Strategy::OnChip, Strategy::Persistent],
        };
        strategies.iter().find_map(|&strategy| {
            let kernel = self.kernel(strategy);
            if !kernel.exists() {
                return None;
            }
            match (strategy, self.view.arrangement) {
                (Strategy::OnChip, Arrangement::Planes) => self.planes_on_chip(kernel),
                (Strategy::OnChip, Arrangement::Columns) => self.columns_on_chip(kernel),
                (Strategy::Ticketed, _) => self.planes_ticketed(kernel),
                (Strategy::Persistent, _) => self.columns_persistent(kernel),
                (Strategy::Split, _) => None,
            }
        })
    }

    fn kernel(&self, strategy: Strategy) -> Kernel {
        Kernel {
            family: self.view.arrangement.family(),
            strategy,
            operation: self.pass.operation(),
            dtype: self.dtype,
        }
    }

    /// Bytes of dynamic shared memory that let two blocks, or one, have a multiprocessor.
    fn shared_budgets(&self) -> [usize; 2] {
        let whole = self.device.shared_per_block as usize - RESERVED;
        let half = (self.device.shared_per_multiprocessor as usize / BLOCKS_PER_MULTIPROCESSOR)
            .saturating_sub(RESERVED);
        [half.min(whole), whole]
    }

    /// Clusters that may be asked for, smallest first.
    fn clusters(&self) -> impl Iterator<Item = usize> + use<> {
        let most = self.device.cluster_blocks as usize;
        let only = self.tuning.cluster;
        CLUSTERS
            .into_iter()
            .filter(move |&blocks| blocks <= most && only.is_none_or(|only| only == blocks))
    }

    /// Blocks that run at once when every multiprocessor has as many as it can.
    fn full(&self) -> usize {
        BLOCKS_PER_MULTIPROCESSOR * self.device.multiprocessors as usize
    }

    /// The cluster for `units` that each need `bytes(blocks)` of shared memory a block: the smallest with which two blocks
    /// fit a multiprocessor and all multiprocessors have work, or the largest part that is still worth a block; one block a
    /// multiprocessor where two do not fit.
    fn cluster_for(
        &self,
        units: usize,
        unit_bytes: usize,
        shared: impl Fn(usize) -> usize,
    ) -> Option<usize> {
        self.shared_budgets().into_iter().find_map(|budget| {
            let mut best = None;
            let fits = |&blocks: &usize| shared(blocks) <= budget && units * blocks <= MOST_BLOCKS;
            for blocks in self.clusters().filter(fits) {
                if best.is_some() && unit_bytes / blocks < SMALLEST_PART {
                    break;
                }
                best = Some(blocks);
                if units * blocks >= self.full() {
                    break;
                }
            }
            best
        })
    }

    /// Whether so few blocks leave so much of the device idle that reading twice with all of it is faster.
    fn leaves_idle(&self, blocks: usize) -> bool {
        self.tuning.strategy.is_none()
            && blocks * 4 < self.device.multiprocessors as usize
            && self.view.bytes() > 1 << 20
    }
}
