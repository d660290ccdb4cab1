//! Every plan that is right for a pass on a device, whatever it takes.
//!
//! | strategy | where | bytes from memory |
//! |---|---|---|
//! | on chip | a channel, or a group of columns, fits a block's shared memory or a cluster's | the least there are |
//! | ticketed, pipelined | planes, while there are counters and places for the sums | the least, while the second-level cache has a group |
//! | persistent | columns, all blocks at once | what neither shared memory nor the cache keeps once more |
//! | steps | always | what the cache does not keep once more |

mod columns;
mod planes;

use crate::element::DType;
use crate::gpu::attributes::Attributes;
use crate::gpu::kernel::{Kernel, Strategy};
use crate::gpu::plan::descriptor::{Arrangement, TensorDescriptor};
use crate::gpu::plan::launch_plan::{Direction, LaunchPlan, PassPlan};
use crate::gpu::plan::occupancy::{
    BLOCKS_PER_MULTIPROCESSOR, SharedBudgets, THREADS, THREADS_ALONE,
};
use crate::gpu::plan::split::{Step, step};
use crate::gpu::plan::tuning::{CLUSTERS, Tuning};

/// A pass over an array of one shape and type on one device: all that a plan depends on.
pub(super) struct PlanQuery<'a> {
    pub direction: Direction,
    pub descriptor: &'a TensorDescriptor,
    pub dtype: DType,
    pub device: &'a Attributes,
    pub tuning: &'a Tuning,
}

impl PlanQuery<'_> {
    /// All of them that the tuning allows; the steps where it allows none.
    pub(super) fn candidates(&self) -> Vec<PassPlan> {
        let strategies: &[Strategy] = match (self.tuning.strategy, self.descriptor.arrangement) {
            (Some(strategy), _) => &[strategy],
            (None, Arrangement::Planes) => {
                &[Strategy::OnChip, Strategy::Ticketed, Strategy::Pipelined]
            }
            (None, Arrangement::Columns) => &[Strategy::OnChip, Strategy::Persistent],
        };
        let mut found = Vec::new();
        for &strategy in strategies {
            let kernel = self.kernel(strategy);
            if !kernel.exists() {
                continue;
            }
            match (strategy, self.descriptor.arrangement) {
                (Strategy::OnChip, Arrangement::Planes) => self.planes_on_chip(kernel, &mut found),
                (Strategy::OnChip, Arrangement::Columns) => {
                    self.columns_on_chip(kernel, &mut found);
                }
                (Strategy::Ticketed, _) => self.planes_ticketed(kernel, &mut found),
                (Strategy::Pipelined, _) => self.planes_pipelined(kernel, &mut found),
                (Strategy::Persistent, _) => self.columns_persistent(kernel, &mut found),
                (Strategy::Split, _) => {}
            }
        }
        let mut plans: Vec<_> = found.into_iter().map(PassPlan::Whole).collect();
        if plans.is_empty() || self.tuning.strategy.is_none() {
            plans.push(self.steps());
        }
        plans
    }

    /// The pass as two launches.
    fn steps(&self) -> PassPlan {
        let (reduce, write) = match self.direction {
            Direction::Forward => (Step::Statistics, Step::Normalize),
            Direction::Backward => (Step::BackwardReduce, Step::BackwardInput),
        };
        PassPlan::Steps {
            reduce: step(reduce, self.descriptor, self.dtype),
            write: step(write, self.descriptor, self.dtype),
        }
    }

    fn kernel(&self, strategy: Strategy) -> Kernel {
        Kernel {
            family: self.descriptor.arrangement.family(),
            strategy,
            operation: self.direction.operation(),
            dtype: self.dtype,
        }
    }

    fn budgets(&self) -> SharedBudgets {
        SharedBudgets::of(self.device)
    }

    /// Clusters that may be asked for, smallest first, by the shared memory that a block of one takes.
    fn clusters(&self, shared: impl Fn(usize) -> usize) -> Vec<usize> {
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
    fn threads(&self, shared_bytes: usize) -> usize {
        if shared_bytes <= self.budgets().half {
            THREADS
        } else {
            THREADS_ALONE
        }
    }

    /// Blocks that run at once when every multiprocessor has as many as it can.
    fn full(&self) -> usize {
        BLOCKS_PER_MULTIPROCESSOR * self.device.multiprocessors as usize
    }
}

/// Launches that were found.
type Found = Vec<LaunchPlan>;
