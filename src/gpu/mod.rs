//! What all GPUs share: the plan of a launch, the arguments of a kernel, and the steps made of launches.
//!
//! The CUDA driver and the host that runs the same kernels on the processor for tests differ only in how memory is had
//! and a kernel started: [`Driver`].

pub mod arguments;
pub mod driver;
pub mod kernel;
pub(crate) mod memory;
pub(crate) mod operands;
pub mod plan;
pub(crate) mod steps;

pub use driver::{Attributes, Driver, Launch};
use plan::Tuning;

/// A GPU behind a driver: the same steps and the same kernels for each.
#[derive(Debug, Clone)]
pub struct Gpu<D: Driver> {
    driver: D,
    tuning: Tuning,
}

impl<D: Driver> Gpu<D> {
    /// The steps on a driver's device, planned as the environment variable `BATCHNORM_PLAN` says.
    pub fn on(driver: D) -> Self {
        let tuning = Tuning::of_environment().clone();
        Self { driver, tuning }
    }

    /// The same device, planned as told.
    #[must_use]
    pub fn tuned(self, tuning: Tuning) -> Self {
        Self { tuning, ..self }
    }

    /// The driver.
    pub fn driver(&self) -> &D {
        &self.driver
    }
}

/// One bit a value, one byte a packet.
#[derive(Debug)]
pub struct GpuMask<D: Driver> {
    /// 32 bits each.
    memory: D::Buffer<f32>,
    bytes: usize,
}
