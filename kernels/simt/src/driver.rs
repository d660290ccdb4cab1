//! The host as a [`Driver`].
#![expect(unsafe_code, reason = "kernels are given addresses")]

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::iter::repeat_n;
use std::sync::{Arc, Mutex, PoisonError};
use std::{fmt, thread};

use batchnorm::gpu::internal::{Arguments, COUNTER_BYTES, Driver, Launched, WORKSPACE_BYTES};
use batchnorm::gpu::{Attributes, Launch};
use batchnorm::{Element, Error, Result};

use crate::device::SimtDevice;
use crate::grid::Grid;
use crate::host::HostLaunch;
use crate::memory::SimtBuffer;
use crate::{host, limits};

/// The environment variable that gives every driver its seed.
const SEED: &str = "BATCHNORM_SIMT_SEED";

/// The processor in place of a GPU.
#[derive(Debug, Clone)]
pub struct SimtDriver {
    device: SimtDevice,
    room: Attributes,
    seed: Arc<Seed>,
    resident_blocks: u32,
    fault: u32,
    stream: Arc<Stream>,
}

/// What the order of threads and blocks follows from. A test that fails prints it.
#[derive(Debug)]
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to run it in the same order again: {SEED}={}", self.0);
        }
    }
}

/// What launches share, one after the other.
#[derive(Debug)]
struct Stream {
    launches: Mutex<BTreeMap<&'static str, u64>>,
    workspace: Mutex<SimtBuffer<u32>>,
}

impl Stream {
    /// Counts a launch. Returns how many there were before.
    fn count(&self, kernel: &'static str) -> u64 {
        let mut launches = self.launches.lock().unwrap_or_else(PoisonError::into_inner);
        let before = launches.values().sum();
        *launches.entry(kernel).or_default() += 1;
        before
    }
}

impl SimtDriver {
    /// The processor as this device, with the seed of the environment variable `BATCHNORM_SIMT_SEED` or a random one.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if there is no room for the workspace, [`Error::Value`] if the variable is no number.
    pub fn new(device: SimtDevice) -> Result<Self> {
        let seed = match std::env::var(SEED) {
            Ok(found) => found.parse().map_err(|_| Error::Value {
                what: SEED,
                found,
                needed: "a whole number",
            })?,
            Err(_) => std::hash::RandomState::new().hash_one(device.name),
        };
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            device,
            room: device.attributes,
            seed: Arc::new(Seed(seed)),
            // More than there are processors, so that the system orders them too.
            resident_blocks: u32::try_from(2 * processors).unwrap_or(u32::MAX),
            fault: 0,
            stream: Arc::new(Stream {
                launches: Mutex::default(),
                workspace: Mutex::new(SimtBuffer::new(repeat_n(0, WORKSPACE_BYTES / 4))?),
            }),
        })
    }

    /// With this seed: the order of a launch's blocks, and of the threads of each, follow from it and from how many
    /// launches there were before.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Arc::new(Seed(seed));
        self
    }

    /// With so many blocks at a time, in launches that do not say that all must run at once. A cluster always does.
    #[must_use]
    pub fn with_resident_blocks(mut self, blocks: u32) -> Self {
        self.resident_blocks = blocks;
        self
    }

    /// With less room for blocks that must run at once than the device says it has, as where others use it too.
    #[must_use]
    pub fn with_room(mut self, room: Attributes) -> Self {
        self.room = room;
        self
    }

    /// With a fault put into the kernels: one of [`faults`](super::faults), or 0 for none.
    #[must_use]
    pub fn with_fault(mut self, number: u32) -> Self {
        self.fault = number;
        self
    }

    /// The device that the host is run as.
    pub fn device(&self) -> SimtDevice {
        self.device
    }

    /// The kernels that were launched, on this driver and its clones, and how often.
    pub fn launches(&self) -> BTreeMap<&'static str, u64> {
        self.stream
            .launches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Runs a kernel of this build by its name.
    ///
    /// # Errors
    /// [`Error::Launch`]: there is no such kernel, the device would refuse the launch, or the host found a mistake in it.
    ///
    /// # Safety
    /// Whatever the kernel reads and writes through the arguments' addresses is memory that it may read and write.
    pub unsafe fn run(&self, kernel: &str, grid: Grid, arguments: &Arguments) -> Result<()> {
        let refused = |reason: String| Error::Launch {
            kernel: kernel.to_owned(),
            reason: format!("{reason} ({self})"),
            source: None,
        };
        let kernels = host::kernels();
        let found = kernels.iter().find(|one| one.name == kernel);
        let found =
            found.ok_or_else(|| refused("this build has no kernel of that name".to_owned()))?;
        limits::check(&self.device.attributes, found, &grid).map_err(refused)?;

        // Held until the counters have been looked at: a stream's launches come one after the other.
        let mut workspace = self
            .stream
            .workspace
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Those that a launch before this one left would hide that this one does not wait for its own.
        host::forget(&mut workspace[COUNTER_BYTES / 4..]);
        let before = self.stream.count(found.name);
        let launch = HostLaunch {
            kernel: std::ptr::null(),
            seed: self
                .seed
                .0
                .wrapping_add(before.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            blocks: grid.blocks,
            threads: grid.threads,
            cluster: grid.cluster,
            shared_bytes: grid.shared_bytes,
            shared_limit: self.device.attributes.shared_per_block,
            resident: if grid.cooperative {
                grid.blocks
            } else {
                self.resident_blocks.max(1)
            },
            fault: self.fault,
        };
        // SAFETY: the caller's promise.
        unsafe { host::launch(kernel, launch, arguments) }.map_err(refused)?;
        match workspace[..COUNTER_BYTES / 4]
            .iter()
            .position(|counter| *counter != 0)
        {
            Some(counter) => Err(refused(format!("counter {counter} is not zero after it"))),
            None => Ok(()),
        }
    }
}

impl fmt::Display for SimtDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SIMT host as {}, {SEED}={}",
            self.device.name, self.seed.0
        )?;
        if self.fault != 0 {
            write!(f, ", fault {}", self.fault)?;
        }
        Ok(())
    }
}

impl Driver for SimtDriver {
    /// A launch has ended when it returns.
    type Guard<'a> = ();

    fn address<'a, T: Element>(&'a self, slice: &'a [T]) -> Result<(u64, ())> {
        Ok((slice.as_ptr().expose_provenance() as u64, ()))
    }

    fn address_mut<'a, T: Element>(&'a self, slice: &'a mut [T]) -> Result<(u64, ())> {
        Ok((slice.as_mut_ptr().expose_provenance() as u64, ()))
    }

    fn attributes(&self) -> &Attributes {
        &self.device.attributes
    }

    fn workspace(&self) -> u64 {
        let mut workspace = self
            .stream
            .workspace
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        workspace.as_mut_ptr().expose_provenance() as u64
    }

    unsafe fn launch(&self, launch: &Launch, arguments: &Arguments) -> Result<Launched> {
        let Launch {
            kernel,
            blocks,
            threads,
            cluster,
            shared_bytes,
            cooperative,
        } = *launch;
        let grid = Grid {
            blocks,
            threads,
            cluster,
            shared_bytes,
            cooperative,
        };
        let name = kernel.name();
        let found = host::kernels().into_iter().find(|one| one.name == name);
        if let Some(reason) = found.and_then(|found| limits::room(&self.room, &found, &grid).err())
        {
            return Ok(Launched::NoRoom(Error::Launch {
                kernel: name,
                reason: format!("{reason} ({self})"),
                source: None,
            }));
        }
        // SAFETY: the caller's promise.
        unsafe { self.run(&name, grid, arguments) }?;
        Ok(Launched::InStream)
    }
}
