//! Launches on the operands of a step: the kernels' arguments, and what is held until they are in the stream.

use crate::backend::operands::{GradientSumsMut, InOut, Normalization, RunningMut, StatisticsMut};
use crate::element::{Compute, DType, Element};
use crate::error::Result;
use crate::gpu::arguments::{Arguments, Workspace, aligned};
use crate::gpu::driver::{Driver, Launched};
use crate::gpu::events;
use crate::gpu::kernel::{Kernel, Operation};
use crate::gpu::launch::Launch;
use crate::gpu::plan::descriptor::TensorDescriptor;
use crate::gpu::plan::launch_plan::{LaunchPlan, per_channel, signed};
use crate::gpu::plan::split::{self, Step};
use crate::gpu::workspace::COUNTER_BYTES;
use crate::shape::Shape;

/// Makes one or more launches on the same operands.
pub(super) struct Launcher<'a, D: Driver> {
    driver: &'a D,
    descriptor: TensorDescriptor,
    pub(super) arguments: Arguments,
    held: Vec<D::Guard<'a>>,
}

impl<'a, D: Driver> Launcher<'a, D> {
    /// For kernels that go through arrays of a shape.
    pub(super) fn of<T: Element>(driver: &'a D, shape: &Shape) -> Self {
        Self::new(driver, TensorDescriptor::of(shape, T::DTYPE))
    }

    fn new(driver: &'a D, descriptor: TensorDescriptor) -> Self {
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
            descriptor,
            arguments,
            held,
        }
    }

    /// For kernels of one value per channel.
    pub(super) fn without_arrays(driver: &'a D) -> Self {
        Self::new(driver, TensorDescriptor::none())
    }

    /// The arrays, as the kernels see them.
    pub(super) fn descriptor(&self) -> &TensorDescriptor {
        &self.descriptor
    }

    /// Leaves the output out of the launches that follow, and says where it was.
    pub(super) fn take_out(&mut self) -> u64 {
        std::mem::take(&mut self.arguments.arrays.out)
    }

    /// Memory that is read.
    pub(super) fn read<'longer: 'a, T: Element>(
        &mut self,
        slice: D::Slice<'longer, T>,
    ) -> Result<u64> {
        let (address, guard) = self.driver.address::<T>(D::shorten::<T>(slice))?;
        self.held.push(guard);
        Ok(address)
    }

    /// Memory that is written.
    pub(super) fn write<T: Element>(&mut self, slice: &'a mut D::SliceMut<'_, T>) -> Result<u64> {
        self.write_reborrowed::<T>(D::reborrow_mut::<T>(slice))
    }

    /// Memory that is written, borrowed for as long as the launcher is.
    pub(super) fn write_reborrowed<T: Element>(
        &mut self,
        slice: D::SliceMut<'a, T>,
    ) -> Result<u64> {
        let (address, guard) = self.driver.address_mut::<T>(slice)?;
        self.held.push(guard);
        Ok(address)
    }

    /// Remembers whether an array's packets are aligned.
    pub(super) fn align(&mut self, address: u64, bit: u32) {
        if address.is_multiple_of(16) && self.descriptor.keeps_alignment() {
            self.arguments.choices.aligned |= bit;
        }
    }

    pub(super) fn x<'longer: 'a, T: Element>(&mut self, x: D::Slice<'longer, T>) -> Result<()> {
        self.arguments.arrays.x = self.read::<T>(x)?;
        self.align(self.arguments.arrays.x, aligned::X);
        Ok(())
    }

    pub(super) fn out<T: Element>(&mut self, out: &'a mut D::SliceMut<'_, T>) -> Result<()> {
        self.arguments.arrays.out = self.write::<T>(out)?;
        self.align(self.arguments.arrays.out, aligned::OUT);
        Ok(())
    }

    pub(super) fn residual<'longer: 'a, T: Element>(
        &mut self,
        residual: D::Slice<'longer, T>,
    ) -> Result<()> {
        self.arguments.arrays.residual = self.read::<T>(residual)?;
        self.align(self.arguments.arrays.residual, aligned::RESIDUAL);
        Ok(())
    }

    pub(super) fn dresidual<T: Element>(
        &mut self,
        dresidual: &'a mut D::SliceMut<'_, T>,
    ) -> Result<()> {
        self.arguments.arrays.dresidual = self.write::<T>(dresidual)?;
        self.align(self.arguments.arrays.dresidual, aligned::DRESIDUAL);
        Ok(())
    }

    /// x to y.
    pub(super) fn x_to_out<'longer: 'a, T: Element>(
        &mut self,
        x_to_y: &'a mut InOut<D::Slice<'longer, T>, D::SliceMut<'_, T>>,
    ) -> Result<()> {
        match x_to_y {
            InOut::Separate(x, y) => {
                self.x::<T>(*x)?;
                self.out::<T>(y)?;
            }
            InOut::InPlace(both) => {
                self.out::<T>(both)?;
                self.arguments.arrays.x = self.arguments.arrays.out;
                self.align(self.arguments.arrays.x, aligned::X);
            }
        }
        Ok(())
    }

    /// dy to dx.
    pub(super) fn dy_to_out<'longer: 'a, T: Element>(
        &mut self,
        dy_to_dx: &'a mut InOut<D::Slice<'longer, T>, D::SliceMut<'_, T>>,
    ) -> Result<()> {
        match dy_to_dx {
            InOut::Separate(dy, dx) => {
                self.dy::<T>(*dy)?;
                self.out::<T>(dx)?;
            }
            InOut::InPlace(both) => {
                self.out::<T>(both)?;
                self.arguments.arrays.dy = self.arguments.arrays.out;
                self.align(self.arguments.arrays.dy, aligned::DY);
            }
        }
        Ok(())
    }

    pub(super) fn dy<'longer: 'a, T: Element>(&mut self, dy: D::Slice<'longer, T>) -> Result<()> {
        self.arguments.arrays.dy = self.read::<T>(dy)?;
        self.align(self.arguments.arrays.dy, aligned::DY);
        Ok(())
    }

    pub(super) fn normalization<'longer: 'a, C: Compute>(
        &mut self,
        with: Normalization<D::Slice<'longer, C>>,
    ) -> Result<()> {
        self.arguments.channel.mean = self.read::<C>(with.mean)?;
        self.arguments.channel.mean_low = self.read::<C>(with.mean_low)?;
        self.arguments.channel.inv_std = self.read::<C>(with.inv_std)?;
        self.arguments.channel.gamma = self.read::<C>(with.gamma)?;
        self.arguments.channel.beta = self.read::<C>(with.beta)?;
        Ok(())
    }

    pub(super) fn statistics_out<C: Compute>(
        &mut self,
        out: &'a mut StatisticsMut<D::SliceMut<'_, C>>,
    ) -> Result<()> {
        self.arguments.channel.mean = self.write::<C>(&mut out.mean)?;
        self.arguments.channel.mean_low = self.write::<C>(&mut out.mean_low)?;
        self.arguments.channel.variance = self.write::<C>(&mut out.variance)?;
        self.arguments.channel.inv_std = self.write::<C>(&mut out.inv_std)?;
        if let Some(running) = &mut out.running {
            self.running_out::<C>(running)?;
        }
        Ok(())
    }

    pub(super) fn running_out<C: Compute>(
        &mut self,
        running: &'a mut RunningMut<D::SliceMut<'_, C>>,
    ) -> Result<()> {
        self.arguments.channel.running_mean = self.write::<C>(&mut running.mean)?;
        self.arguments.channel.running_variance = self.write::<C>(&mut running.variance)?;
        self.arguments.numbers.running_weight = running.factor;
        self.arguments.numbers.variance_correction = running.correction;
        self.arguments.choices.only_finite = u32::from(running.only_finite);
        Ok(())
    }

    pub(super) fn gradients_out<C: Compute>(
        &mut self,
        out: &'a mut GradientSumsMut<D::SliceMut<'_, C>>,
    ) -> Result<()> {
        self.arguments.channel.dgamma = self.write::<C>(&mut out.gamma)?;
        self.arguments.channel.dbeta = self.write::<C>(&mut out.beta)?;
        Ok(())
    }

    /// Puts a step's kernel into the stream.
    pub(super) fn launch_step<T: Element>(&self, step: Step) -> Result<()> {
        self.launch(&split::step(step, &self.descriptor, T::DTYPE))
    }

    /// Puts one kernel into the stream.
    pub(super) fn launch(&self, plan: &LaunchPlan) -> Result<()> {
        done(self.try_launch(plan)?)
    }

    /// The same, or says that there is no room for it.
    pub(super) fn try_launch(&self, plan: &LaunchPlan) -> Result<Launched> {
        let mut arguments = self.arguments;
        plan.encode(&self.descriptor, &mut arguments);
        events::launches(Some(&self.descriptor), &plan.launch);
        self.start(&plan.launch, &arguments)
    }

    /// Puts a kernel of one value per channel into the stream.
    pub(super) fn launch_channels(
        &mut self,
        operation: Operation,
        dtype: DType,
        channels: usize,
    ) -> Result<()> {
        self.arguments.shape.channels = signed(channels);
        self.launch_as(&per_channel(
            Kernel::per_channel(operation, dtype),
            channels,
        ))
    }

    /// Puts a kernel into the stream, with the arguments as they are.
    pub(super) fn launch_as(&self, launch: &Launch) -> Result<()> {
        events::launches(None, launch);
        done(self.start(launch, &self.arguments)?)
    }

    #[expect(unsafe_code, reason = "a kernel believes the addresses it is given")]
    fn start(&self, launch: &Launch, arguments: &Arguments) -> Result<Launched> {
        // SAFETY: the addresses are the workspace's and those that `read` and `write` were given for what they were lent, whose
        // guards are held until this is dropped. What is lent is as long as the descriptor says, or as there are channels: a
        // step is called with `Checked` only (backend/checks.rs); no plan leaves the array (plan/tests/invariants.rs), and no
        // kernel its plan: each is run under AddressSanitizer (kernels/simt/tests/contract/reach.rs).
        unsafe { self.driver.launch(launch, arguments) }
    }
}

/// For a launch that there is no other plan for.
fn done(launched: Launched) -> Result<()> {
    match launched {
        Launched::InStream => Ok(()),
        Launched::NoRoom(error) => Err(error),
    }
}
