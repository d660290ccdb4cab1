//! Versions of CUDA, of PTX and of GPUs, and which of them go together.

use std::fmt;

/// A version of CUDA that a driver supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CudaVersion {
    pub(super) major: u32,
    pub(super) minor: u32,
}

impl CudaVersion {
    /// The first that launches kernels with attributes (`cuLaunchKernelEx`).
    pub(super) const OLDEST: Self = Self {
        major: 11,
        minor: 8,
    };

    /// From the number that the driver gives: 12040 for 12.4.
    pub(super) fn from_number(number: i32) -> Self {
        let number = number.unsigned_abs();
        Self {
            major: number / 1000,
            minor: number % 1000 / 10,
        }
    }

    /// The first whose drivers read a version of PTX.
    pub(super) fn of_ptx((major, minor): (u32, u32)) -> Self {
        // The two counted alike from 7.0 (CUDA 11.0) on, but for CUDA 12.6, which brought no new PTX.
        let minor = match (major, minor) {
            (8, 6..) => minor + 1,
            (..=6, _) => {
                return Self {
                    major: 10,
                    minor: minor.saturating_sub(3),
                };
            }
            _ => minor,
        };
        Self {
            major: major + 4,
            minor,
        }
    }
}

impl fmt::Display for CudaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The oldest architecture that there are kernels for: Turing.
pub(super) const OLDEST_ARCHITECTURE: u32 = 75;

/// A compute capability times ten, as people write it.
pub(super) fn capability(architecture: u32) -> String {
    format!("{}.{}", architecture / 10, architecture % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32, minor: u32) -> CudaVersion {
        CudaVersion { major, minor }
    }

    #[test]
    fn a_drivers_number_is_a_version() {
        for (number, expected) in [
            (11080, "11.8"),
            (12040, "12.4"),
            (13000, "13.0"),
            (13010, "13.1"),
        ] {
            assert_eq!(CudaVersion::from_number(number).to_string(), expected);
        }
        assert!(CudaVersion::from_number(11070) < CudaVersion::OLDEST);
        assert!(CudaVersion::from_number(12000) > CudaVersion::OLDEST);
    }

    /// Pairs of the table of releases in NVIDIA's PTX manual.
    #[test]
    fn ptx_versions_came_with_these_drivers() {
        let pairs = [
            ((6, 3), version(10, 0)),
            ((6, 5), version(10, 2)),
            ((7, 0), version(11, 0)),
            ((7, 8), version(11, 8)),
            ((8, 0), version(12, 0)),
            ((8, 5), version(12, 5)),
            ((8, 6), version(12, 7)),
            ((8, 8), version(12, 9)),
            ((9, 0), version(13, 0)),
        ];
        for (ptx, cuda) in pairs {
            assert_eq!(CudaVersion::of_ptx(ptx), cuda, "{ptx:?}");
        }
    }
}
