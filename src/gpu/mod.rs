//! What all GPUs share: the plan of a launch, the arguments of a kernel, and the steps made of launches.
//!
//! For those who tune: what a device is ([`Attributes`]), what is launched for a pass ([`plan`]), and another choice
//! ([`Gpu::tuned`]). As kernels change, so does this: what is `non_exhaustive` here may have more in any version, and what is
//! written as a literal ([`Attributes`], and the constants that predictions are made by) in any minor one.

pub(crate) mod arguments;
pub(crate) mod attributes;
pub(crate) mod devices;
pub(crate) mod driver;
pub(crate) mod epilogue;
pub(crate) mod events;
pub(crate) mod fused;
pub(crate) mod in_f64;
pub(crate) mod kernel;
pub(crate) mod launch;
pub(crate) mod launcher;
pub(crate) mod memory;
pub(crate) mod merge;

pub mod plan;
pub(crate) mod plans;
pub(crate) mod renormalization;
pub(crate) mod steps;
pub(crate) mod workspace;

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

pub use attributes::Attributes;
pub use kernel::{Family, Kernel, Operation, Strategy};
pub use launch::Launch;

use crate::element::DType;
use crate::gpu::driver::Driver;
use crate::gpu::plan::explanation::Explanation;
use crate::gpu::plan::launch_plan::Direction;
use crate::gpu::plan::tuning::Tuning;
use crate::gpu::plans::Plans;
use crate::shape::Shape;

/// What a driver is made of. It is visible because the host that runs the kernels on the processor to test them is a
/// package of its own (`kernels/simt`), and for no other reason: it is no part of the interface, and changes at any time.
#[doc(hidden)]
pub mod internal {
    pub use crate::gpu::arguments::{
        ActivationCode, Arguments, ArrayShape, Arrays, ChannelArrays, Choices, Numbers, Partition,
        Saved, Workspace, aligned,
    };
    pub use crate::gpu::driver::{Driver, Launched};
    pub use crate::gpu::kernel::all as all_kernels;
    pub use crate::gpu::workspace::{COUNTER_BYTES, PARTIAL_BYTES, WORKSPACE_BYTES};
}

/// A GPU behind a driver: the same steps and the same kernels for each.
#[derive(Debug, Clone)]
pub struct Gpu<D: Driver> {
    driver: D,
    plans: Arc<Plans>,
}

impl<D: Driver> Gpu<D> {
    /// The steps on a driver's device, planned as the environment variable `BATCHNORM_PLAN` says.
    pub fn on(driver: D) -> Self {
        let tuning = Tuning::of_environment().clone();
        let plans = Arc::new(Plans::new(*driver.attributes(), tuning));
        Self { driver, plans }
    }

    /// The same device, planned as told.
    #[must_use]
    pub fn tuned(self, tuning: Tuning) -> Self {
        let device = *self.driver.attributes();
        self.planned_for(device, tuning)
    }

    /// The same device, planned as told and as if it were another, of which it should have no less of anything. Sums are then cut
    /// as they are there, so that they have the bits that they have there.
    #[must_use]
    pub fn planned_for(self, device: Attributes, tuning: Tuning) -> Self {
        let plans = Arc::new(Plans::new(device, tuning));
        Self { plans, ..self }
    }

    /// What is chosen for a pass over an array, what the other plans are predicted to take, and why. For a GPU that is not
    /// there: [`Explanation::of`].
    pub fn explain(&self, shape: &Shape, dtype: DType, direction: Direction) -> Explanation {
        self.plans.explain(shape, dtype, direction)
    }

    /// The device's numbers, which a launch is planned by.
    pub fn attributes(&self) -> &Attributes {
        self.driver.attributes()
    }

    /// The driver.
    pub fn driver(&self) -> &D {
        &self.driver
    }
}

impl<D: Driver + Display> Display for Gpu<D> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.driver, f)
    }
}

/// One bit a value, one byte a packet.
#[derive(Debug)]
pub struct GpuMask<D: Driver> {
    /// 32 bits each.
    memory: D::Buffer<f32>,
    bytes: usize,
}
