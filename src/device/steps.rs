//! The steps on whatever the device is.

use crate::backend::checked::Checked;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, InOut, MomentsMut, Normalization, RenormalizedMut,
    RunningMut, RunningReference, Statistics, StatisticsMut, StatisticsSource,
};
use crate::backend::steps::{Steps, for_each_step};
use crate::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
use crate::device::downcast::downcast;
use crate::device::{Device, DeviceMask};
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

/// Calls each step of whichever backend the device is, with its operands downcast, or fails with where they are.
macro_rules! on_its_backend {
    ($(fn $step:ident<$element:ident: $bound:ident>($($operand:ident: $is:ty),* $(,)?);)*) => {$(
        fn $step<$element: $bound>(&self, checked: Checked, $($operand: $is),*) -> Result<()> {
            match self {
                Device::Cpu(cpu) => {
                    cpu.$step::<$element>(checked, $(downcast::<Cpu, _>($operand)?),*)
                }
                #[cfg(feature = "cuda")]
                Device::Cuda(gpu) => {
                    gpu.$step::<$element>(checked, $(downcast::<Cuda, _>($operand)?),*)
                }
            }
        }
    )*};
}

impl Steps for Device {
    type Mask = DeviceMask;

    fn new_mask<T: Element>(&self, shape: &Shape) -> Result<DeviceMask> {
        match self {
            Device::Cpu(cpu) => cpu.new_mask::<T>(shape).map(DeviceMask::Cpu),
            #[cfg(feature = "cuda")]
            Device::Cuda(gpu) => gpu.new_mask::<T>(shape).map(DeviceMask::Cuda),
        }
    }

    fn check_mask<T: Element>(shape: &Shape, mask: &DeviceMask) -> Result<()> {
        match mask {
            DeviceMask::Cpu(mask) => Cpu::check_mask::<T>(shape, mask),
            #[cfg(feature = "cuda")]
            DeviceMask::Cuda(mask) => Cuda::check_mask::<T>(shape, mask),
        }
    }

    for_each_step!(on_its_backend);
}
