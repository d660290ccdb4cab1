//! One launch of a kernel of `kernels/simt/selftest.cu`.
#![expect(unsafe_code, reason = "kernels are given addresses")]

use batchnorm::backend::Memory;
use batchnorm::gpu::internal::{
    Arguments, ArrayShape, Arrays, COUNTER_BYTES, Driver, Partition, Workspace,
};
use batchnorm::{Element, Result};
use batchnorm_simt::{Grid, SimtDevice, SimtDriver};

/// A kernel, and what it is run with.
pub(crate) struct Launch<'a> {
    pub(crate) driver: &'a SimtDriver,
    pub(crate) kernel: &'a str,
    pub(crate) grid: Grid,
    /// Its `packets` and `tile`.
    pub(crate) packets: i64,
    pub(crate) tile: i64,
}

impl<'a> Launch<'a> {
    pub(crate) fn new(driver: &'a SimtDriver, kernel: &'a str, blocks: u32, threads: u32) -> Self {
        let grid = Grid {
            blocks,
            threads,
            cluster: 1,
            shared_bytes: 0,
            cooperative: false,
        };
        Self {
            driver,
            kernel,
            grid,
            packets: 0,
            tile: 0,
        }
    }

    pub(crate) fn cluster(mut self, blocks: u32) -> Self {
        self.grid.cluster = blocks;
        self
    }

    pub(crate) fn cooperative(mut self) -> Self {
        self.grid.cooperative = true;
        self
    }

    pub(crate) fn shared(mut self, bytes: u32) -> Self {
        self.grid.shared_bytes = bytes;
        self
    }

    pub(crate) fn packets(mut self, packets: i64, first_byte: i64) -> Self {
        self.packets = packets;
        self.tile = first_byte;
        self
    }

    /// Runs it on `x`, and returns its output of `len` values, which begins as zeros.
    pub(crate) fn run<X: Element, Y: Element>(&self, x: &[X], len: usize) -> Result<Vec<Y>> {
        let x = self.driver.upload(x)?;
        let mut out = self.driver.zeros::<Y>(len)?;
        let counters = self.driver.workspace();
        let arguments = Arguments {
            arrays: Arrays {
                x: self.driver.address(SimtDriver::as_slice(&x))?.0,
                out: self
                    .driver
                    .address_mut(SimtDriver::as_slice_mut(&mut out))?
                    .0,
                ..Arrays::default()
            },
            workspace: Workspace {
                counters,
                partials: counters + COUNTER_BYTES as u64,
            },
            shape: ArrayShape {
                packets: self.packets,
                ..ArrayShape::default()
            },
            partition: Partition {
                tile: self.tile,
                ..Partition::default()
            },
            ..Arguments::default()
        };
        // SAFETY: the kernels use `x`, `out` and the driver's workspace, which live until the call returns, and stay inside
        // of them where a test gives as many values as threads; those that do not are in a process of their own.
        unsafe { self.driver.run(self.kernel, self.grid, &arguments) }?;
        self.driver.download(SimtDriver::as_slice(&out))
    }

    /// The error that it must give.
    pub(crate) fn refused(&self, x: &[f32]) -> String {
        let result = self.run::<f32, f32>(x, x.len());
        let error = result.expect_err("the host must find the mistake");
        error.to_string()
    }
}

pub(crate) fn hopper() -> SimtDriver {
    SimtDriver::new(SimtDevice::hopper()).expect("a driver")
}

/// Values whose sums are exact in any order.
pub(crate) fn whole_numbers(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919) % 1013) as f32 - 500.0)
        .collect()
}
