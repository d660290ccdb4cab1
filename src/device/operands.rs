//! A device's operands as the operands of the backend that it turned out to be, or the error that they are elsewhere.

use crate::backend::Backend;
use crate::backend::operands::{
    Affine, Epilogue, Gate, GradientSums, GradientSumsMut, InOut, Normalization, RunningMut,
    Statistics, StatisticsMut,
};
use crate::cpu::{Cpu, CpuMask};
#[cfg(feature = "cuda")]
use crate::cuda::Cuda;
#[cfg(feature = "cuda")]
use crate::cuda::CudaMask;
#[cfg(feature = "cuda")]
use crate::cuda::memory::CudaMemory;
#[cfg(feature = "cuda")]
use crate::cuda::memory::CudaMemoryMut;
use crate::device::{Device, DeviceMask, DeviceSlice, DeviceSliceMut};
use crate::element::{Compute, Element};
#[cfg(feature = "cuda")]
use crate::error::Error;
use crate::error::Result;

/// A backend that a [`Device`] can be.
pub(super) trait Place: Backend {
    fn slice<T: Element>(slice: DeviceSlice<'_, T>) -> Result<Self::Slice<'_, T>>;
    fn slice_mut<T: Element>(slice: DeviceSliceMut<'_, T>) -> Result<Self::SliceMut<'_, T>>;
    fn lend_mask(mask: &DeviceMask) -> Result<&Self::Mask>;
    fn lend_mask_mut(mask: &mut DeviceMask) -> Result<&mut Self::Mask>;
}

impl Place for Cpu {
    fn slice<T: Element>(slice: DeviceSlice<'_, T>) -> Result<&[T]> {
        match slice {
            DeviceSlice::Cpu(slice) => Ok(slice),
            #[cfg(feature = "cuda")]
            DeviceSlice::Cuda(_) => Err(on_gpu()),
        }
    }
    fn slice_mut<T: Element>(slice: DeviceSliceMut<'_, T>) -> Result<&mut [T]> {
        match slice {
            DeviceSliceMut::Cpu(slice) => Ok(slice),
            #[cfg(feature = "cuda")]
            DeviceSliceMut::Cuda(_) => Err(on_gpu()),
        }
    }
    fn lend_mask(mask: &DeviceMask) -> Result<&CpuMask> {
        match mask {
            DeviceMask::Cpu(mask) => Ok(mask),
            #[cfg(feature = "cuda")]
            DeviceMask::Cuda(_) => Err(on_gpu()),
        }
    }
    fn lend_mask_mut(mask: &mut DeviceMask) -> Result<&mut CpuMask> {
        match mask {
            DeviceMask::Cpu(mask) => Ok(mask),
            #[cfg(feature = "cuda")]
            DeviceMask::Cuda(_) => Err(on_gpu()),
        }
    }
}

#[cfg(feature = "cuda")]
impl Place for Cuda {
    fn slice<T: Element>(slice: DeviceSlice<'_, T>) -> Result<CudaMemory<'_, T>> {
        match slice {
            DeviceSlice::Cuda(slice) => Ok(slice),
            DeviceSlice::Cpu(_) => Err(on_processor()),
        }
    }
    fn slice_mut<T: Element>(slice: DeviceSliceMut<'_, T>) -> Result<CudaMemoryMut<'_, T>> {
        match slice {
            DeviceSliceMut::Cuda(slice) => Ok(slice),
            DeviceSliceMut::Cpu(_) => Err(on_processor()),
        }
    }
    fn lend_mask(mask: &DeviceMask) -> Result<&CudaMask> {
        match mask {
            DeviceMask::Cuda(mask) => Ok(mask),
            DeviceMask::Cpu(_) => Err(on_processor()),
        }
    }
    fn lend_mask_mut(mask: &mut DeviceMask) -> Result<&mut CudaMask> {
        match mask {
            DeviceMask::Cuda(mask) => Ok(mask),
            DeviceMask::Cpu(_) => Err(on_processor()),
        }
    }
}

#[cfg(feature = "cuda")]
fn on_gpu() -> Error {
    Error::DeviceMismatch {
        found: "a GPU".to_owned(),
        needed: "the processor".to_owned(),
    }
}

#[cfg(feature = "cuda")]
fn on_processor() -> Error {
    Error::DeviceMismatch {
        found: "the processor".to_owned(),
        needed: "a GPU".to_owned(),
    }
}

/// An operand that can be moved to the backend it is on.
pub(super) trait On<P: Place> {
    type Operand;
    fn on(self) -> Result<Self::Operand>;
}

impl<'a, T: Element, P: Place> On<P> for DeviceSlice<'a, T> {
    type Operand = P::Slice<'a, T>;
    fn on(self) -> Result<Self::Operand> {
        P::slice(self)
    }
}

impl<'a, T: Element, P: Place> On<P> for DeviceSliceMut<'a, T> {
    type Operand = P::SliceMut<'a, T>;
    fn on(self) -> Result<Self::Operand> {
        P::slice_mut(self)
    }
}

impl<'a, 'b, T: Element, P: Place> On<P> for InOut<DeviceSlice<'a, T>, DeviceSliceMut<'b, T>> {
    type Operand = InOut<P::Slice<'a, T>, P::SliceMut<'b, T>>;
    fn on(self) -> Result<Self::Operand> {
        Ok(match self {
            InOut::Separate(from, to) => InOut::Separate(P::slice(from)?, P::slice_mut(to)?),
            InOut::InPlace(both) => InOut::InPlace(P::slice_mut(both)?),
        })
    }
}

impl<'a, C: Compute, P: Place> On<P> for StatisticsMut<'a, Device, C> {
    type Operand = StatisticsMut<'a, P, C>;
    fn on(self) -> Result<Self::Operand> {
        Ok(StatisticsMut {
            mean: P::slice_mut(self.mean)?,
            mean_low: P::slice_mut(self.mean_low)?,
            variance: P::slice_mut(self.variance)?,
            inv_std: P::slice_mut(self.inv_std)?,
            running: self.running.on()?,
        })
    }
}

impl<'a, C: Compute, P: Place> On<P> for RunningMut<'a, Device, C> {
    type Operand = RunningMut<'a, P, C>;
    fn on(self) -> Result<Self::Operand> {
        Ok(RunningMut {
            mean: P::slice_mut(self.mean)?,
            variance: P::slice_mut(self.variance)?,
            factor: self.factor,
            correction: self.correction,
        })
    }
}

impl<'a, C: Compute, P: Place> On<P> for Statistics<'a, Device, C> {
    type Operand = Statistics<'a, P, C>;
    fn on(self) -> Result<Self::Operand> {
        Ok(Statistics {
            mean: P::slice(self.mean)?,
            mean_low: P::slice(self.mean_low)?,
            variance: P::slice(self.variance)?,
            inv_std: P::slice(self.inv_std)?,
        })
    }
}

impl<'a, C: Compute, P: Place> On<P> for Normalization<'a, Device, C> {
    type Operand = Normalization<'a, P, C>;
    fn on(self) -> Result<Self::Operand> {
        Ok(Normalization {
            mean: P::slice(self.mean)?,
            mean_low: P::slice(self.mean_low)?,
            inv_std: P::slice(self.inv_std)?,
            gamma: P::slice(self.gamma)?,
            beta: P::slice(self.beta)?,
        })
    }
}

impl<'a, C: Compute, P: Place> On<P> for Affine<'a, Device, C> {
    type Operand = Affine<'a, P, C>;
    fn on(self) -> Result<Self::Operand> {
        Ok(Affine {
            gamma: P::slice(self.gamma)?,
            beta: P::slice(self.beta)?,
            epsilon: self.epsilon,
        })
    }
}

impl<'a, T: Element, P: Place> On<P> for Epilogue<'a, Device, T> {
    type Operand = Epilogue<'a, P, T>;
    fn on(self) -> Result<Self::Operand> {
        Ok(match self {
            Epilogue::None => Epilogue::None,
            Epilogue::Relu => Epilogue::Relu,
            Epilogue::Add(residual) => Epilogue::Add(P::slice(residual)?),
            Epilogue::AddRelu(residual, mask) => {
                Epilogue::AddRelu(P::slice(residual)?, mask.map(P::lend_mask_mut).transpose()?)
            }
        })
    }
}

impl<'a, P: Place> On<P> for Gate<'a, Device> {
    type Operand = Gate<'a, P>;
    fn on(self) -> Result<Self::Operand> {
        Ok(match self {
            Gate::Open => Gate::Open,
            Gate::Relu => Gate::Relu,
            Gate::Mask(mask) => Gate::Mask(P::lend_mask(mask)?),
        })
    }
}

impl<'a, C: Compute, P: Place> On<P> for GradientSums<'a, Device, C> {
    type Operand = GradientSums<'a, P, C>;
    fn on(self) -> Result<Self::Operand> {
        Ok(GradientSums {
            gamma: P::slice(self.gamma)?,
            beta: P::slice(self.beta)?,
            count: self.count,
        })
    }
}

impl<'a, C: Compute, P: Place> On<P> for GradientSumsMut<'a, Device, C> {
    type Operand = GradientSumsMut<'a, P, C>;
    fn on(self) -> Result<Self::Operand> {
        Ok(GradientSumsMut {
            gamma: P::slice_mut(self.gamma)?,
            beta: P::slice_mut(self.beta)?,
        })
    }
}

impl<O: On<P>, P: Place> On<P> for Option<O> {
    type Operand = Option<O::Operand>;
    fn on(self) -> Result<Self::Operand> {
        self.map(On::on).transpose()
    }
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_processor_is_refused_on_a_gpu() {
        let mut values = [1.0f32, 2.0];
        let read = <DeviceSlice<'_, f32> as On<Cuda>>::on(DeviceSlice::Cpu(&values));
        assert!(
            matches!(read, Err(Error::DeviceMismatch { .. })),
            "{read:?}"
        );
        let on = DeviceSliceMut::Cpu(&mut values);
        let message = <DeviceSliceMut<'_, f32> as On<Cuda>>::on(on)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("the processor") && message.contains("a GPU"),
            "{message}"
        );
        assert!(message.contains("upload"), "{message}");
    }

    #[test]
    fn what_is_on_a_gpu_is_refused_on_the_processor() {
        #[expect(
            unsafe_code,
            reason = "memory of a GPU without one: nothing uses the address"
        )]
        // SAFETY: no work is ever given to a stream with it.
        let memory = unsafe { CudaMemory::<f32>::from_address(0, 2) };
        let read = <DeviceSlice<'_, f32> as On<Cpu>>::on(DeviceSlice::Cuda(memory));
        assert_eq!(read.unwrap_err(), on_gpu());
    }
}
