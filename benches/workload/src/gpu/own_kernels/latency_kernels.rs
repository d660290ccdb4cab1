//! One thread that waits: for memory, and for clocks to pass.
#![expect(unsafe_code, reason = "kernels believe what they are given")]

use batchnorm::Result;
use batchnorm::cudarc::driver::{CudaFunction, CudaSlice, LaunchConfig, PushKernelArg};
use cuda_machine::machine::Machine;

use crate::gpu::own_kernels::{failed, load};

const LATENCIES: &str = include_str!(concat!(env!("OUT_DIR"), "/latencies.ptx"));

/// Words of a line, of which the first says where the next line is.
const LINE: usize = 32;
pub(crate) const LINE_BYTES: usize = LINE * size_of::<u32>();

const ONE_THREAD: LaunchConfig = LaunchConfig {
    grid_dim: (1, 1, 1),
    block_dim: (1, 1, 1),
    shared_mem_bytes: 0,
};

/// Those of `latencies.cu`.
pub(crate) struct LatencyKernels<'a> {
    machine: &'a Machine,
    follow: CudaFunction,
    wait: CudaFunction,
}

/// Lines of memory in an order that is none of their addresses': one chain through all of them.
pub(crate) struct Lines {
    next: CudaSlice<u32>,
    end: CudaSlice<u32>,
    count: usize,
}

impl Lines {
    /// So many, or fewer: a power of two.
    pub(crate) fn new(machine: &Machine, most: usize) -> Result<Self> {
        let count = 1usize << most.max(1).ilog2();
        let mut next = vec![0; count * LINE];
        for line in 0..count {
            let behind = Self::behind(count, line);
            next[line * LINE] = u32::try_from(behind * LINE).expect("fewer words than 2^32");
        }
        let stream = machine.stream();
        Ok(Self {
            next: stream.clone_htod(&next).map_err(failed)?,
            end: stream.alloc_zeros(1).map_err(failed)?,
            count,
        })
    }

    /// The line behind a line: an odd number further, so that each comes once before the first comes again; and near the golden
    /// section of all, so that those that follow each other soon are nowhere near.
    fn behind(count: usize, line: usize) -> usize {
        (line + ((count / 1000 * 618) | 1)) % count
    }

    /// Where the chain is after so many steps.
    fn after(&self, steps: usize) -> usize {
        (0..steps).fold(0, |line, _| Self::behind(self.count, line))
    }
}

impl<'a> LatencyKernels<'a> {
    pub(crate) fn load(machine: &'a Machine) -> Result<Self> {
        let module = load(machine, LATENCIES)?;
        Ok(Self {
            machine,
            follow: module.load_function("follow_lines").map_err(failed)?,
            wait: module.load_function("wait_clocks").map_err(failed)?,
        })
    }

    /// Goes on by so many lines from the one that is `first` in the chain.
    pub(crate) fn follow(&self, lines: &mut Lines, first: usize, steps: u32) -> Result<()> {
        let start = u32::try_from(lines.after(first) * LINE).expect("fewer words than 2^32");
        let mut launch = self.machine.stream().launch_builder(&self.follow);
        launch.arg(&lines.next).arg(&start).arg(&steps);
        launch.arg(&mut lines.end);
        // SAFETY: every line's first word is the place of another line's, all inside the array; one word is written.
        unsafe { launch.launch(ONE_THREAD) }
            .map_err(failed)
            .map(drop)
    }

    pub(crate) fn wait(&self, clocks: u64) -> Result<()> {
        let mut launch = self.machine.stream().launch_builder(&self.wait);
        launch.arg(&clocks);
        // SAFETY: the kernel touches no memory.
        unsafe { launch.launch(ONE_THREAD) }
            .map_err(failed)
            .map(drop)
    }
}
