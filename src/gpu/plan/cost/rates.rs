//! What a device moves and how long it takes to begin, in seconds and bytes: its class's constants, and what its driver
//! reports.

use crate::gpu::attributes::Attributes;
use crate::gpu::plan::cost::constants::DeviceConstants;

/// Seconds of a nanosecond.
pub(super) const NANOSECOND: f64 = 1e-9;

/// A device as the model sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub constants: &'static DeviceConstants,
    pub multiprocessors: usize,
    /// Clocks a second.
    pub clock: f64,
    /// Bytes a second that a copy moves, read and written together.
    pub copy: f64,
    /// Bytes a second of the second-level cache, to all multiprocessors.
    pub cache: f64,
    /// Bytes a second that one multiprocessor takes at the most.
    pub alone: f64,
    /// Bytes that the second-level cache has when they are asked for again.
    pub cache_bytes: f64,
}

impl Rates {
    pub(super) fn of(device: &Attributes) -> Self {
        let constants = DeviceConstants::of(device.architecture);
        let multiprocessors = device.multiprocessors as usize;
        let clock = f64::from(device.clock_khz) * 1e3 * constants.clock_share.value;
        let peak = match device.memory_rate {
            0 => constants.peak_rate.value,
            reported => reported as f64,
        };
        Self {
            constants,
            multiprocessors,
            clock,
            copy: peak * constants.copy_share.value,
            cache: constants.cache_rate.value * clock * multiprocessors as f64,
            alone: constants.rate_alone.value * clock,
            cache_bytes: f64::from(device.l2_bytes) * constants.cache_share.value,
        }
    }
}
