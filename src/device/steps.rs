//! The steps on whatever the device is.

use crate::backend::activation::Activation;
use crate::backend::checked::Checked;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::kept::Kept;
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, GradientsOfGradients, InOut, MomentsMut, Normalization,
    RenormalizedMut, RunningMut, RunningReference, SecondGradientsMut, Statistics, StatisticsMut,
    StatisticsSource,
};
use crate::backend::steps::{Steps, for_each_step};
use crate::config::quantization::Quantization;
use crate::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
use crate::device::downcast::downcast;
use crate::device::each_backend::each_backend;
use crate::device::{Device, DeviceMask};
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::Shape;

/// Calls each step of whichever backend the device is, with its operands downcast, or fails with where they are.
macro_rules! on_its_backend {
    ($(fn $step:ident<$element:ident: $bound:ident>($($operand:ident: $is:ty),* $(,)?);)*) => {$(
        fn $step<$element: $bound>(&self, checked: Checked, $($operand: $is),*) -> Result<()> {
            each_backend!(self, Device(own) as On => {
                own.$step::<$element>(checked, $(downcast::<On, _>($operand)?),*)
            })
        }
    )*};
}

impl Steps for Device {
    type Mask = DeviceMask;

    fn new_mask<T: Element>(&self, shape: &Shape) -> Result<DeviceMask> {
        Ok(each_backend!(self, Device(own) as On into DeviceMask => On::new_mask::<T>(own, shape)?))
    }

    fn check_mask<T: Element>(shape: &Shape, mask: &DeviceMask) -> Result<()> {
        each_backend!(mask, DeviceMask(own) as On => On::check_mask::<T>(shape, own))
    }

    for_each_step!(on_its_backend);
}
