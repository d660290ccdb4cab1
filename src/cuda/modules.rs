//! The kernels that this build has, as PTX and, where that was asked for, as machine code, and which of them a device can run.

use crate::cuda::version::{CudaVersion, capability};
use crate::error::{Error, Result};

/// One file of `kernels/`, compiled for one architecture and all later ones.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Embedded {
    /// The file's name without `.cu`.
    pub(super) module: &'static str,
    /// Compute capability times ten.
    pub(super) architecture: u32,
    /// The version of PTX that it is written in.
    pub(super) version: (u32, u32),
    pub(super) ptx: &'static str,
}

/// The same as machine code for one GPU, compressed as drivers unpack it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cubin {
    pub(super) module: &'static str,
    pub(super) architecture: u32,
    pub(super) image: &'static [u8],
}

// `EMBEDDED`, `EMBEDDED_CUBINS`, and `SEARCH_LOG` for why it is empty: written by kernels/build/table.rs.
include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// The newest form of a module that the device and its driver can run.
///
/// # Errors
/// [`Error::KernelsNotBuilt`], [`Error::DriverTooOld`].
pub(super) fn of_build(
    module: &str,
    architecture: u32,
    driver: CudaVersion,
) -> Result<&'static Embedded> {
    choose(EMBEDDED, SEARCH_LOG, module, architecture, driver)
}

/// Machine code of a module that the device runs, if the build has any: it must be of the device's generation, and of no
/// newer member of it.
pub(super) fn assembled(module: &str, architecture: u32) -> Option<&'static Cubin> {
    assembled_of(EMBEDDED_CUBINS, module, architecture)
}

fn assembled_of<'a>(assembled: &'a [Cubin], module: &str, architecture: u32) -> Option<&'a Cubin> {
    let runs = |one: &&Cubin| {
        one.module == module
            && one.architecture / 10 == architecture / 10
            && one.architecture <= architecture
    };
    assembled
        .iter()
        .filter(runs)
        .max_by_key(|one| one.architecture)
}

/// # Errors
/// [`Error::KernelsNotBuilt`] if this build has no kernels at all.
pub(super) fn check_built() -> Result<()> {
    if EMBEDDED.is_empty() {
        return Err(Error::KernelsNotBuilt {
            reason: SEARCH_LOG.to_owned(),
        });
    }
    Ok(())
}

fn choose<'a>(
    embedded: &'a [Embedded],
    search_log: &str,
    module: &str,
    architecture: u32,
    driver: CudaVersion,
) -> Result<&'a Embedded> {
    let of_module = || embedded.iter().filter(|one| one.module == module);
    let runs = || of_module().filter(|one| one.architecture <= architecture);
    let needs = |one: &Embedded| CudaVersion::of_ptx(one.version);
    let readable = runs().filter(|one| needs(one) <= driver);
    if let Some(best) = readable.max_by_key(|one| one.architecture) {
        return Ok(best);
    }
    if let Some(needed) = runs().map(needs).min() {
        return Err(Error::DriverTooOld {
            found: driver.to_string(),
            needed: needed.to_string(),
        });
    }
    let reason = if embedded.is_empty() {
        search_log.to_owned()
    } else if of_module().next().is_none() {
        format!("there is no module {module} in it")
    } else {
        let built: Vec<String> = of_module()
            .map(|one| capability(one.architecture))
            .collect();
        let built = built.join(", ");
        let found = capability(architecture);
        format!("{module} was compiled for compute capability {built}, the GPU has {found}")
    };
    Err(Error::KernelsNotBuilt { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn embedded(architecture: u32, version: (u32, u32)) -> Embedded {
        Embedded {
            module: "channels",
            architecture,
            version,
            ptx: "",
        }
    }

    const ALL: [Embedded; 3] = [
        embedded(75, (6, 3)),
        embedded(80, (7, 0)),
        embedded(90, (8, 0)),
    ];
    const RECENT: CudaVersion = CudaVersion {
        major: 13,
        minor: 0,
    };

    #[test]
    fn the_newest_that_the_device_runs_is_taken() {
        for (device, expected) in [
            (75, 75),
            (80, 80),
            (86, 80),
            (89, 80),
            (90, 90),
            (100, 90),
            (120, 90),
        ] {
            let chosen = choose(&ALL, "", "channels", device, RECENT).unwrap();
            assert_eq!(chosen.architecture, expected, "on {device}");
        }
    }

    #[test]
    fn an_older_form_is_taken_where_the_driver_cannot_read_the_newest() {
        let driver = CudaVersion {
            major: 11,
            minor: 8,
        };
        let chosen = choose(&ALL, "", "channels", 90, driver).unwrap();
        assert_eq!(chosen.architecture, 80);
    }

    #[test]
    fn a_driver_older_than_every_form_is_told_what_is_needed() {
        let unlowered = [embedded(75, (9, 0)), embedded(90, (9, 1))];
        let driver = CudaVersion {
            major: 12,
            minor: 4,
        };
        let error = choose(&unlowered, "", "channels", 90, driver).unwrap_err();
        let expected = Error::DriverTooOld {
            found: "12.4".to_owned(),
            needed: "13.0".to_owned(),
        };
        assert_eq!(error, expected);
    }

    #[test]
    fn a_build_without_the_kernel_says_why() {
        let reason = |embedded: &[Embedded], module: &str, device| match choose(
            embedded,
            "looked in /bin",
            module,
            device,
            RECENT,
        ) {
            Err(Error::KernelsNotBuilt { reason }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(&[], "channels", 90), "looked in /bin");
        assert!(reason(&ALL, "planes_split", 90).contains("planes_split"));
        let other = reason(&ALL[2..], "channels", 80);
        assert!(other.contains("9.0") && other.contains("8.0"), "{other}");
    }

    #[test]
    fn machine_code_is_for_its_own_generation() {
        let of = |architecture| Cubin {
            module: "channels",
            architecture,
            image: &[],
        };
        let all = [of(80), of(86), of(90)];
        let chosen = |module, device| {
            assembled_of(&all, module, device).map(|assembled| assembled.architecture)
        };
        for (device, expected) in [
            (75, None),
            (80, Some(80)),
            (86, Some(86)),
            (87, Some(86)),
            (90, Some(90)),
            (100, None),
        ] {
            assert_eq!(chosen("channels", device), expected, "on {device}");
        }
        assert_eq!(chosen("planes_split", 90), None);
    }

    /// Whatever this build has: nothing with the reason, or each module for the same architectures.
    #[test]
    fn the_embedded_table_is_whole() {
        if EMBEDDED.is_empty() {
            assert!(!SEARCH_LOG.is_empty());
            assert!(matches!(check_built(), Err(Error::KernelsNotBuilt { .. })));
            return;
        }
        check_built().unwrap();
        for one in EMBEDDED {
            let (major, minor) = one.version;
            assert!(
                one.ptx.contains(&format!(".version {major}.{minor}\n")),
                "{}",
                one.module
            );
            assert!(
                one.ptx
                    .contains(&format!(".target sm_{}\n", one.architecture)),
                "{}",
                one.module
            );
        }
        for one in EMBEDDED_CUBINS {
            // The mark of a fat binary.
            assert_eq!(one.image[..4], [0x50, 0xed, 0x55, 0xba], "{}", one.module);
        }
    }
}
