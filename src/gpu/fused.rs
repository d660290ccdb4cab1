//! The fused passes: in one launch where the plan has one, in the two of the steps where it has none.

use crate::element::Element;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::driver::{Driver, Launched};
use crate::gpu::launcher::Launcher;
use crate::gpu::plan::launch_plan::{Direction, LaunchPlan, PassPlan};

/// Launches a pass whose operands are complete.
pub(super) fn launch<T: Element, D: Driver>(
    gpu: &Gpu<D>,
    direction: Direction,
    mut launcher: Launcher<'_, D>,
) -> Result<()> {
    let Some([reduce, write]) = launch_unless_split::<T, D>(gpu, direction, &launcher)? else {
        return Ok(());
    };
    match direction {
        Direction::Forward => launcher.launch(&reduce)?,
        Direction::Backward => {
            // The kernel that reduces would write dx in the same pass if it were told where.
            let out = launcher.take_out();
            launcher.launch(&reduce)?;
            launcher.arguments.arrays.out = out;
        }
    }
    launcher.arguments.choices.reverse = 1;
    launcher.launch(&write)
}

/// Launches a pass that is planned as one launch; or gives the two launches that it is planned as, which are left to the
/// caller. A launch that the device has no room for is planned anew without what it lacked.
fn launch_unless_split<T: Element, D: Driver>(
    gpu: &Gpu<D>,
    direction: Direction,
    launcher: &Launcher<'_, D>,
) -> Result<Option<[LaunchPlan; 2]>> {
    loop {
        let plan = match gpu.plans.of(direction, launcher.descriptor(), T::DTYPE) {
            PassPlan::Whole(plan) => plan,
            PassPlan::Steps { reduce, write } => return Ok(Some([reduce, write])),
        };
        match launcher.try_launch(&plan)? {
            Launched::InStream => return Ok(None),
            Launched::NoRoom(error) => {
                if !gpu.plans.do_without(&plan.launch) {
                    return Err(error);
                }
            }
        }
    }
}
