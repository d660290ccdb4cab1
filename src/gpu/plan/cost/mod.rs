//! How long a plan is predicted to take: what its blocks move and wait for (`stages`), how they share the device
//! (`waves`), by numbers that are in one table (`constants`).
//!
//! A prediction chooses between plans and says how much there is to gain; it is no measurement, and is never called one.

pub mod constants;
mod rates;
mod stages;
mod unwritten;
pub(super) mod waves;

use crate::gpu::attributes::Attributes;
use crate::gpu::plan::cost::constants::KernelConstants;
use crate::gpu::plan::cost::rates::{NANOSECOND, Rates};
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::gpu::plan::launch_plan::{Direction, PassPlan};

pub use waves::Bound;

/// What a plan is predicted to take.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// From the end of the work before it, in a graph.
    pub seconds: f64,
    /// Of the rate of a copy that moves only what must be moved.
    pub share: f64,
    /// Bytes from and to memory.
    pub memory_bytes: f64,
    /// Bytes that are read again and found in the second-level cache.
    pub cached_bytes: f64,
    /// Blocks of a multiprocessor that run at once, of the launch that takes longest.
    pub resident: usize,
    /// How often the device is full of its blocks.
    pub waves: f64,
    /// What most of its time is for.
    pub bound: Bound,
    /// What it would take in forms that there are not.
    pub unwritten: Unwritten,
}

/// Seconds that a plan is predicted to take in forms of its kernels that nobody has written: what there is to gain by them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Unwritten {
    /// With a block's next tile on its way while this one is reduced, at least.
    pub next_in_flight: f64,
    /// The same with room in shared memory for one tile more, where there is room, and all that this costs.
    pub a_place_more: Option<f64>,
    /// The same on the chip, of packets that take the places of those that have been written.
    pub places_refilled: Option<f64>,
    /// With sums that the blocks of a cluster push to each other.
    pub pushed_sums: f64,
}

/// Predicts a plan's time.
pub fn predict(
    direction: Direction,
    descriptor: &TensorDescriptor,
    plan: &PassPlan,
    device: &Attributes,
    kernels: &KernelConstants,
) -> Prediction {
    let rates = Rates::of(device);
    let query = stages::Query {
        direction,
        descriptor,
        device,
        rates: &rates,
        kernels,
    };
    let stages = query.stages(plan);
    let launch = rates.constants.launch.value * NANOSECOND;
    let (mut seconds, mut memory_bytes, mut cached_bytes) = (0.0, 0.0, 0.0);
    let mut unwritten = Unwritten {
        next_in_flight: 0.0,
        a_place_more: None,
        places_refilled: None,
        pushed_sums: 0.0,
    };
    let mut longest = (0.0, 0, 0.0, Bound::Latency);
    for stage in stages.iter().flatten() {
        let timed = stage.time(&rates);
        seconds += launch + timed.seconds;
        unwritten.next_in_flight += launch + stage.time_with_next_in_flight(&rates);
        unwritten.pushed_sums += launch + stage.with_pushed_sums().time(&rates).seconds;
        memory_bytes += stage.blocks as f64 * stage.memory;
        cached_bytes += stage.blocks as f64 * stage.cached;
        if timed.seconds > longest.0 {
            let (resident, waves) = (stage.resident, stage.waves(&rates));
            longest = (timed.seconds, resident, waves, timed.bound);
        }
    }
    if let PassPlan::Whole(whole) = plan {
        let seconds = |stage: waves::Stage| launch + stage.time(&rates).seconds;
        unwritten.a_place_more = query.with_a_place_more(whole).map(seconds);
        unwritten.places_refilled = query.with_places_refilled(whole).map(seconds);
    }
    let (_, resident, waves, bound) = longest;
    let must = ((direction.arrays() + 1) * descriptor.bytes()) as f64;
    Prediction {
        seconds,
        share: must / rates.copy / seconds,
        memory_bytes,
        cached_bytes,
        resident,
        waves,
        bound,
        unwritten,
    }
}
