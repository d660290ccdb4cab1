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
pub(super) mod query;

use crate::gpu::kernel::Strategy;
use crate::gpu::plan::candidates::query::PlanQuery;
use crate::gpu::plan::descriptor::Arrangement;
use crate::gpu::plan::launch_plan::{Direction, PassPlan};
use crate::gpu::plan::split::{Step, step};

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
}
