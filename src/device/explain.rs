//! Which device is the best available, and why it is no GPU where it is none.

use std::fmt;

use crate::device::Device;
use crate::error::Error;

impl Device {
    /// The fastest device this build and this machine have: GPU 0 if it can be used, else the processor. Never fails:
    /// there is always a processor. [`explain`](Self::explain) says why it is no GPU.
    pub fn best_available() -> Self {
        Self::explain().into_device()
    }

    /// [`best_available`](Self::best_available), with the reason why it is no GPU where it is none. To be printed:
    ///
    /// ```
    /// use batchnorm::Device;
    /// let found = Device::explain();
    /// println!("{found}"); // "cpu (avx2, 8 threads); no GPU: there is no CUDA driver here, ..."
    /// if let Some(reason) = found.why_no_gpu() {
    ///     assert!(matches!(found.device(), Device::Cpu(_)), "{reason}");
    /// }
    /// let device = found.into_device();
    /// # drop(device);
    /// ```
    pub fn explain() -> BestDevice {
        match Self::cuda(0) {
            Ok(device) => BestDevice {
                device,
                why_no_gpu: None,
            },
            Err(reason) => BestDevice {
                device: Self::cpu(),
                why_no_gpu: Some(reason),
            },
        }
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::best_available()
    }
}

/// The best device there is, and why it is no GPU where it is none. Its `Display` is a line to print when a program starts.
#[derive(Debug, Clone)]
pub struct BestDevice {
    device: Device,
    why_no_gpu: Option<Error>,
}

impl BestDevice {
    /// What [`Device::best_available`] gives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The device itself.
    pub fn into_device(self) -> Device {
        self.device
    }

    /// The first thing that is missing: the feature `cuda` ([`Error::DeviceUnavailable`]), a driver ([`Error::NoDriver`],
    /// [`Error::DriverTooOld`]), a GPU ([`Error::NoSuchDevice`]), its compute capability ([`Error::UnsupportedDevice`]), or
    /// kernels for it ([`Error::KernelsNotBuilt`]). `None` where the device is a GPU.
    pub fn why_no_gpu(&self) -> Option<&Error> {
        self.why_no_gpu.as_ref()
    }
}

impl fmt::Display for BestDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.device.fmt(f)?;
        match &self.why_no_gpu {
            Some(reason) => write!(f, "; no GPU: {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_the_processor_exactly_where_there_is_a_reason() {
        let found = Device::explain();
        let is_processor = matches!(found.device(), Device::Cpu(_));
        assert_eq!(is_processor, found.why_no_gpu().is_some(), "{found}");
        let line = found.to_string();
        assert!(line.starts_with(&found.device().to_string()), "{line}");
        if let Some(reason) = found.why_no_gpu() {
            assert!(line.ends_with(&format!("; no GPU: {reason}")), "{line}");
        }
        let best = Device::best_available();
        assert_eq!(best.to_string(), found.into_device().to_string());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_the_feature_says_so() {
        let found = Device::explain();
        let Some(Error::DeviceUnavailable { device, reason }) = found.why_no_gpu() else {
            panic!("{found}");
        };
        assert_eq!(device, "cuda:0");
        assert!(reason.contains("feature `cuda`"), "{reason}");
    }

    /// Without a driver there is no telling a GPU: whether kernels were built comes last.
    #[cfg(feature = "cuda")]
    #[test]
    fn a_machine_without_a_driver_says_so_whatever_was_built() {
        match Device::explain().why_no_gpu() {
            Some(Error::NoDriver { found }) => assert!(found.contains("libcuda.so"), "{found}"),
            other => eprintln!("skipped: this machine has a CUDA driver ({other:?})"),
        }
    }
}
