//! The plans that a backend has made, so that each is made once; and what it has learned that its device has no room for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::element::DType;
use crate::gpu::attributes::Attributes;
use crate::gpu::launch::Launch;
use crate::gpu::plan::choice::choose;
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::gpu::plan::explanation::Explanation;
use crate::gpu::plan::launch_plan::{Direction, PassPlan};
use crate::gpu::plan::tuning::Tuning;
use crate::shape::Shape;

/// Plans that are remembered at the most. A network has some dozens; one whose every batch is of another size begins anew.
const MOST: usize = 1024;

/// Plans for one device, tuned in one way.
#[derive(Debug)]
pub(super) struct Plans {
    tuning: Tuning,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// The device's numbers, less what it refused.
    device: Attributes,
    plans: HashMap<(Direction, TensorDescriptor, DType), PassPlan>,
}

impl Plans {
    pub(super) fn new(device: Attributes, tuning: Tuning) -> Self {
        let plans = HashMap::new();
        Self {
            tuning,
            known: Mutex::new(Known { device, plans }),
        }
    }

    /// That of a pass over an array.
    pub(super) fn of(
        &self,
        direction: Direction,
        descriptor: &TensorDescriptor,
        dtype: DType,
    ) -> PassPlan {
        let mut known = self.known();
        let key = (direction, *descriptor, dtype);
        if let Some(plan) = known.plans.get(&key) {
            return *plan;
        }
        let plan = choose(direction, descriptor, dtype, &known.device, &self.tuning);
        if known.plans.len() >= MOST {
            known.plans.clear();
        }
        known.plans.insert(key, plan);
        plan
    }

    /// Plans from now on without what a launch that found no room needs of the device. Whether there is such a thing.
    pub(super) fn do_without(&self, launch: &Launch) -> bool {
        let mut known = self.known();
        let device = &mut known.device;
        if launch.cooperative {
            device.cooperative = false;
        } else if launch.cluster > 1 {
            let most = launch.cluster / 2;
            device.cluster_blocks = device.cluster_blocks.min(most);
            device.cluster_blocks_alone = device.cluster_blocks_alone.min(most);
        } else {
            return false;
        }
        known.plans.clear();
        true
    }

    pub(super) fn explain(&self, shape: &Shape, dtype: DType, direction: Direction) -> Explanation {
        let device = self.known().device;
        Explanation::of(shape, dtype, direction, &device, &self.tuning)
    }

    /// A panic elsewhere leaves it as it was: an entry is made in one step.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Layout;

    fn launch(plans: &Plans, descriptor: &TensorDescriptor) -> Option<Launch> {
        match plans.of(Direction::Forward, descriptor, DType::F16) {
            PassPlan::Whole(plan) => Some(plan.launch),
            PassPlan::Steps { .. } => None,
        }
    }

    fn last(dims: &[usize]) -> TensorDescriptor {
        TensorDescriptor::of(&Shape::new(dims, Layout::ChannelsLast).unwrap(), DType::F16)
    }

    #[test]
    fn what_found_no_room_is_not_planned_again() {
        let plans = Plans::new(
            Attributes::H200,
            Tuning::parse("strategy=persistent").unwrap(),
        );
        let descriptor = last(&[128, 112, 112, 64]);
        let refused = launch(&plans, &descriptor).unwrap();
        assert!(refused.cooperative && plans.do_without(&refused));
        assert_eq!(launch(&plans, &descriptor), None);
    }

    #[test]
    fn clusters_become_smaller_until_there_are_none() {
        let plans = Plans::new(
            Attributes::H200,
            Tuning::parse("strategy=on-chip,columns=8").unwrap(),
        );
        let descriptor = last(&[32, 14, 14, 64]);
        let mut most = u32::MAX;
        let mut tried = 0;
        while let Some(launch) = launch(&plans, &descriptor) {
            assert!(launch.cluster < most, "{launch:?}");
            most = launch.cluster;
            tried += 1;
            if !plans.do_without(&launch) {
                break;
            }
        }
        assert!(tried > 1, "{tried}");
    }
}
