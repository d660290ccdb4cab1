//! THE ONLY CHOICE BETWEEN PLANS: by predicted time, of those that leave no multiprocessor idle; and of those that take
//! about as long, the one whose sums are partitioned as on every other device.
//!
//! Two GPUs have the same bits where they add up in the same order. The reference device's choice depends on the shape
//! alone; a device follows it where that costs it less than [`PRICE_OF_EQUAL_BITS`].

use crate::element::DType;
use crate::gpu::attributes::Attributes;
use crate::gpu::plan::candidates::query::PlanQuery;
use crate::gpu::plan::cost::constants::{KERNELS, KernelConstants};
use crate::gpu::plan::cost::{Prediction, predict};
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::gpu::plan::launch_plan::{Direction, PassPlan};
use crate::gpu::plan::occupancy::BUSY_FROM;
use crate::gpu::plan::tuning::Tuning;

/// What a plan may take longer than the fastest to have the bits of every device.
pub(super) const PRICE_OF_EQUAL_BITS: f64 = 0.03;

/// The plan for a pass over an array of a shape and type.
pub fn choose(
    direction: Direction,
    descriptor: &TensorDescriptor,
    dtype: DType,
    device: &Attributes,
    tuning: &Tuning,
) -> PassPlan {
    let query = PlanQuery {
        direction,
        descriptor,
        dtype,
        device,
        tuning,
    };
    let (considered, chosen, _) = consider(&query, &KERNELS);
    considered[chosen].plan
}

/// A plan that could be chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Considered {
    /// The plan.
    pub plan: PassPlan,
    /// What it is predicted to take.
    pub prediction: Prediction,
    /// Multiprocessors that have no block of it, where x is too large for that.
    pub idle: usize,
}

/// Why a plan was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// It is the fastest of those that the tuning allows.
    Told,
    /// Its sums are partitioned by the shape alone; the fastest would take so much less, a share of its time.
    EqualBits {
        /// 0 where this is the fastest.
        price: f64,
    },
    /// It is the fastest, and to partition by the shape alone would take so much longer or is not possible.
    Fastest {
        /// A share of its time, where it is possible.
        price: Option<f64>,
    },
}

/// All plans, fastest first; which of them is chosen, and why.
pub(super) fn consider(
    query: &PlanQuery<'_>,
    kernels: &KernelConstants,
) -> (Vec<Considered>, usize, Reason) {
    let considered = ranked(query, kernels);
    if *query.tuning != Tuning::default() {
        return (considered, 0, Reason::Told);
    }
    let reference = PlanQuery {
        device: &Attributes::REFERENCE,
        ..*query
    };
    let partition = if query.device == reference.device {
        considered[0].plan.partition()
    } else {
        ranked(&reference, kernels)[0].plan.partition()
    };
    let fastest = considered[0];
    let equal = considered
        .iter()
        .position(|one| one.idle <= fastest.idle && one.plan.partition() == partition);
    let price =
        |index: usize| considered[index].prediction.seconds / fastest.prediction.seconds - 1.0;
    match equal {
        Some(index) if price(index) < PRICE_OF_EQUAL_BITS => {
            let reason = Reason::EqualBits {
                price: price(index),
            };
            (considered, index, reason)
        }
        other => {
            let reason = Reason::Fastest {
                price: other.map(price),
            };
            (considered, 0, reason)
        }
    }
}

/// Those that keep all multiprocessors busy first, each kind by time.
fn ranked(query: &PlanQuery<'_>, kernels: &KernelConstants) -> Vec<Considered> {
    let consider = |plan: PassPlan| Considered {
        plan,
        prediction: predict(
            query.direction,
            query.descriptor,
            &plan,
            query.device,
            kernels,
        ),
        idle: idle(&plan, query.descriptor, query.device),
    };
    let mut considered: Vec<_> = query.candidates().into_iter().map(consider).collect();
    considered.sort_by(|one, other| {
        let seconds = |considered: &Considered| considered.prediction.seconds;
        (one.idle > 0)
            .cmp(&(other.idle > 0))
            .then(seconds(one).total_cmp(&seconds(other)))
    });
    considered
}

/// Multiprocessors without a block, where x is large enough for all.
fn idle(plan: &PassPlan, descriptor: &TensorDescriptor, device: &Attributes) -> usize {
    if descriptor.bytes() <= BUSY_FROM {
        return 0;
    }
    let blocks = plan.launches().map(|plan| plan.launch.blocks).min();
    device.multiprocessors.saturating_sub(blocks.unwrap_or(0)) as usize
}
