//! A launch's arguments from a step's operands.

use crate::backend::operands::{GradientSumsMut, InOut};
use crate::element::{Compute, DType, Element};
use crate::error::{Error, Result};
use crate::gpu::arguments::{Arguments, Workspace, aligned};
use crate::gpu::driver::{COUNTER_BYTES, Driver, Launch};
use crate::gpu::kernel::{Kernel, Operation};
use crate::gpu::plan::LaunchPlan;
use crate::gpu::plan::view::View;
use crate::gpu::{GpuMask, Normalization, StatisticsMut, plan};

/// The arguments of one or more launches on the same operands, and what must be held until they are in the stream.
pub(super) struct Operands<'a, D: Driver> {
    driver: &'a D,
    view: View,
    arguments: Arguments,
    held: Vec<D::Guard<'a>>,
}

impl<'a, D: Driver> Operands<'a, D> {
    pub(super) fn new(driver: &'a D, view: View) -> Self {
        let workspace = driver.workspace();
        let arguments = Arguments {
            workspace: Workspace {
                counters: workspace,
                partials: workspace + COUNTER_BYTES as u64,
            },
            ..Arguments::default()
        };
        // The most that any step has.
        let held = Vec::with_capacity(16);
        Self {
            driver,
            view,
            arguments,
            held,
        }
    }

    /// For kernels of one value per channel.
    pub(super) fn without_arrays(driver: &'a D) -> Self {
        Self::new(driver, View::none())
    }

    /// Leaves the output out of the launches that follow, and says where it was.
    pub(super) fn take_out(&mut self) -> u64 {
        std::mem::take(&mut self.arguments.arrays.out)
    }

    /// What is not memory.
    pub(super) fn set(&mut self, set: impl FnOnce(&mut Arguments)) {
        set(&mut self.arguments);
    }

    /// Memory that is read.
    pub(super) fn read<'longer: 'a, T: Element>(&mut self, slice: D::Slice<'longer, T>) -> u64 {
        let (address, guard) = self.driver.address(D::narrow(slice));
        self.held.push(guard);
        address
    }

    /// Memory that is written.
    pub(super) fn write<T: Element>(&mut self, slice: &'a mut D::SliceMut<'_, T>) -> u64 {
        self.write_lent(D::relend_mut(slice))
    }

    /// Memory that is written, lent for no longer than it must be.
    pub(super) fn write_lent<T: Element>(&mut self, slice: D::SliceMut<'a, T>) -> u64 {
        let (address, guard) = self.driver.address_mut(slice);
        self.held.push(guard);
        address
    }

    /// Remembers whether an array's packets are aligned.
    fn align(&mut self, address: u64, bit: u32) {
        if address.is_multiple_of(16) && self.view.keeps_alignment() {
            self.arguments.choices.aligned |= bit;
        }
    }

    pub(super) fn x<'longer: 'a, T: Element>(&mut self, x: D::Slice<'longer, T>) {
        self.arguments.arrays.x = self.read(x);
        self.align(self.arguments.arrays.x, aligned::X);
    }

    pub(super) fn out<T: Element>(&mut self, out: &'a mut D::SliceMut<'_, T>) {
        self.arguments.arrays.out = self.write(out);
        self.align(self.arguments.arrays.out, aligned::OUT);
    }

    pub(super) fn residual<'longer: 'a, T: Element>(&mut self, residual: D::Slice<'longer, T>) {
        self.arguments.arrays.residual = self.read(residual);
        self.align(self.arguments.arrays.residual, aligned::RESIDUAL);
    }

    pub(super) fn dresidual<T: Element>(&mut self, dresidual: &'a mut D::SliceMut<'_, T>) {
        self.arguments.arrays.dresidual = self.write(dresidual);
        self.align(self.arguments.arrays.dresidual, aligned::DRESIDUAL);
    }

    /// x to y.
    pub(super) fn x_to_out<'longer: 'a, T: Element>(
        &mut self,
        x_to_y: &'a mut InOut<D::Slice<'longer, T>, D::SliceMut<'_, T>>,
    ) {
        match x_to_y {
            InOut::Separate(x, y) => {
                self.x(*x);
                self.out(y);
            }
            InOut::InPlace(both) => {
                self.out(both);
                self.arguments.arrays.x = self.arguments.arrays.out;
                self.align(self.arguments.arrays.x, aligned::X);
            }
        }
    }

    /// dy to dx.
    pub(super) fn dy_to_out<'longer: 'a, T: Element>(
        &mut self,
        dy_to_dx: &'a mut InOut<D::Slice<'longer, T>, D::SliceMut<'_, T>>,
    ) {
        match dy_to_dx {
            InOut::Separate(dy, dx) => {
                self.dy(*dy);
                self.out(dx);
            }
            InOut::InPlace(both) => {
                self.out(both);
                self.arguments.arrays.dy = self.arguments.arrays.out;
                self.align(self.arguments.arrays.dy, aligned::DY);
            }
        }
    }

    pub(super) fn dy<'longer: 'a, T: Element>(&mut self, dy: D::Slice<'longer, T>) {
        self.arguments.arrays.dy = self.read(dy);
        self.align(self.arguments.arrays.dy, aligned::DY);
    }

    pub(super) fn normalization<'longer: 'a, C: Compute>(
        &mut self,
        with: Normalization<'longer, D, C>,
    ) {
        self.arguments.channel.mean = self.read(with.mean);
        self.arguments.channel.mean_low = self.read(with.mean_low);
        self.arguments.channel.inv_std = self.read(with.inv_std);
        self.arguments.channel.gamma = self.read(with.gamma);
        self.arguments.channel.beta = self.read(with.beta);
    }

    pub(super) fn statistics_out<C: Compute>(&mut self, out: &'a mut StatisticsMut<'_, D, C>) {
        self.arguments.channel.mean = self.write(&mut out.mean);
        self.arguments.channel.mean_low = self.write(&mut out.mean_low);
        self.arguments.channel.variance = self.write(&mut out.variance);
        self.arguments.channel.inv_std = self.write(&mut out.inv_std);
        if let Some(running) = &mut out.running {
            self.arguments.channel.running_mean = self.write(&mut running.mean);
            self.arguments.channel.running_variance = self.write(&mut running.variance);
            self.arguments.numbers.running_weight = running.factor;
            self.arguments.numbers.variance_correction = running.correction;
        }
    }

    pub(super) fn gradients_out<C: Compute>(
        &mut self,
        out: &'a mut GradientSumsMut<'_, super::Gpu<D>, C>,
    ) {
        self.arguments.channel.dgamma = self.write(&mut out.gamma);
        self.arguments.channel.dbeta = self.write(&mut out.beta);
    }

    /// Puts one kernel into the stream.
    pub(super) fn launch(&mut self, plan: &LaunchPlan) -> Result<()> {
        plan.encode(&self.view, &mut self.arguments);
        self.start(&plan.launch)
    }

    /// Puts a kernel of one value per channel into the stream.
    pub(super) fn launch_channels(
        &mut self,
        operation: Operation,
        dtype: DType,
        channels: usize,
    ) -> Result<()> {
        self.arguments.shape.channels = plan::signed(channels);
        let kernel = Kernel::per_channel(operation, dtype);
        self.start(&plan::per_channel(kernel, channels))
    }

    #[expect(unsafe_code, reason = "a kernel believes the addresses it is given")]
    fn start(&self, launch: &Launch) -> Result<()> {
        // SAFETY: the addresses are the workspace's and those that `read` and `write` were given for what they were lent, whose
        // guards are held until this is dropped. Each step has checked that what is lent is as long as the view, or as there
        // are channels (backend/checks.rs); no plan leaves the view (plan/tests.rs), and no kernel its plan: each is run under
        // AddressSanitizer (tests/contract/reach.rs).
        unsafe { self.driver.launch(launch, &self.arguments) }
    }
}

/// Checks that a mask was made for arrays like this.
pub(super) fn check_mask<D: Driver>(view: &View, mask: &GpuMask<D>) -> Result<()> {
    if mask.bytes == view.mask_bytes() {
        return Ok(());
    }
    Err(Error::Length {
        what: "the mask (in bytes)",
        found: mask.bytes,
        needed: view.mask_bytes(),
    })
}
