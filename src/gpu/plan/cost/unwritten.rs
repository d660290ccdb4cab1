//! Forms of the kernels that nobody has written, in which the next channel's packets are on their way while those of this one are
//! reduced: what they would take, with what they need of shared memory.

use crate::gpu::kernel::Strategy;
use crate::gpu::plan::cost::rates::NANOSECOND;
use crate::gpu::plan::cost::stages::Query;
use crate::gpu::plan::cost::waves::Stage;
use crate::gpu::plan::descriptor::{Arrangement, PACKET_BYTES};
use crate::gpu::plan::launch_plan::{LaunchPlan, unsigned};
use crate::gpu::plan::occupancy::{SharedBudgets, THREADS, THREADS_ALONE};

impl Query<'_> {
    /// With one place more: on the chip for the next channel beside the one that is kept, and for one tile more where kernels have several.
    /// Blocks run until there is nothing left. None where shared memory has no room for it.
    pub(super) fn with_a_place_more(&self, plan: &LaunchPlan) -> Option<Stage> {
        let shared_bytes = plan.launch.shared_bytes as usize + self.place_bytes(plan)?;
        let budgets = SharedBudgets::of(self.device);
        let threads = match shared_bytes {
            bytes if bytes <= budgets.half => plan.launch.threads,
            bytes if bytes <= budgets.whole => unsigned(THREADS_ALONE),
            _ => return None,
        };
        let mut wider = *plan;
        wider.launch.shared_bytes = unsigned(shared_bytes);
        wider.launch.threads = threads;
        let stage = self.stage_of(&wider);
        if plan.launch.kernel.strategy == Strategy::Pipelined {
            // Only two blocks of a multiprocessor have been given registers.
            let fits = threads as usize == THREADS;
            return fits.then_some(Stage {
                tiles_of_block: plan.places + 1,
                ..stage
            });
        }
        let most_at_once = stage.most_at_once.saturating_mul(2);
        Some(Stage {
            tiles_of_block: 2,
            most_at_once,
            ..self.copied(&stage)
        })
    }

    /// On the chip with each packet's place taken by one of the next channel as soon as it is written: no shared memory more, and
    /// nothing on its way while the block reduces.
    pub(super) fn with_places_refilled(&self, plan: &LaunchPlan) -> Option<Stage> {
        let is_on_chip = plan.launch.kernel.strategy == Strategy::OnChip;
        is_on_chip.then(|| self.copied(&self.stage_of(plan)))
    }

    /// Shared memory for one tile more of all arrays.
    fn place_bytes(&self, plan: &LaunchPlan) -> Option<usize> {
        let arrays = self.direction.arrays();
        let packets = match (plan.launch.kernel.strategy, self.descriptor.arrangement) {
            (Strategy::OnChip | Strategy::Pipelined, Arrangement::Planes) => plan.tile,
            (Strategy::OnChip, Arrangement::Columns) => plan.kept_rows * self.group_packets(plan),
            _ => return None,
        };
        Some(arrays * packets * PACKET_BYTES)
    }

    /// Blocks that copy all of a tile at once (`cp.async`) and begin once.
    fn copied(&self, stage: &Stage) -> Stage {
        let constants = self.rates.constants;
        let copies = self.slots(self.kernels.copy_issue[self.index()].value);
        let clocks = stage.clocks + copies / stage.blocks as f64;
        let delay = stage.delay - constants.block.value * NANOSECOND;
        let reduction = delay - constants.memory_latency.value * NANOSECOND;
        Stage {
            clocks,
            delay,
            alone: reduction + clocks / self.rates.clock,
            latencies: 0.0,
            ..*stage
        }
    }
}
