//! What is asked of the candidates, and what their kinds take of it.

use crate::element::DType;
use crate::gpu::attributes::Attributes;
use crate::gpu::kernel::{Kernel, Strategy};
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::gpu::plan::launch_plan::{Direction, LaunchPlan};
use crate::gpu::plan::occupancy::{
    BLOCKS_PER_MULTIPROCESSOR, SharedBudgets, THREADS, THREADS_ALONE,
};
use crate::gpu::plan::tuning::{CLUSTERS, Tuning};

/// A pass over an array of one shape and type on one device: all that a plan depends on.
pub(in crate::gpu::plan) struct PlanQuery<'a> {
    pub direction: Direction,
    pub descriptor: &'a TensorDescriptor,
    pub dtype: DType,
    pub device: &'a Attributes,
    pub tuning: &'a Tuning,
}

impl PlanQuery<'_> {
    pub(super) fn kernel(&self, strategy: Strategy) -> Kernel {
        Kernel {
            family: self.descriptor.arrangement.family(),
            strategy,
            operation: self.direction.operation(),
            dtype: self.dtype,
        }
    }

    pub(super) fn budgets(&self) -> SharedBudgets {
        SharedBudgets::of(self.device)
    }

    /// Clusters that may be asked for, smallest first, by the shared memory that a block of one takes.
    pub(super) fn clusters(&self, shared: impl Fn(usize) -> usize) -> Vec<usize> {
        let budgets = self.budgets();
        let fits = |&blocks: &usize| {
            let most = match shared(blocks) {
                bytes if bytes <= budgets.half => self.device.cluster_blocks,
                bytes if bytes <= budgets.whole => self.device.cluster_blocks_alone,
                _ => 0,
            };
            blocks <= most as usize && self.tuning.cluster.is_none_or(|only| only == blocks)
        };
        CLUSTERS.into_iter().filter(fits).collect()
    }

    /// Threads of a block of an on-chip kernel, where it takes so much shared memory: as many warps of a multiprocessor whether two
    /// blocks share it or one has it alone.
    pub(super) fn threads(&self, shared_bytes: usize) -> usize {
        if shared_bytes <= self.budgets().half {
            THREADS
        } else {
            THREADS_ALONE
        }
    }

    /// Blocks that run at once when every multiprocessor has as many as it can.
    pub(super) fn full(&self) -> usize {
        BLOCKS_PER_MULTIPROCESSOR * self.device.multiprocessors as usize
    }
}

/// Launches that were found.
pub(super) type Found = Vec<LaunchPlan>;
