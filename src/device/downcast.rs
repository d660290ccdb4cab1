//! A device's operands as those of a concrete backend, or the error that they are elsewhere.

use crate::backend::activation::Activation;
use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::kept::Kept;
use crate::backend::operands::{
    Affine, GradientSums, GradientSumsMut, GradientsOfGradients, InOut, MomentsMut, Normalization,
    RenormalizedMut, RunningMut, RunningReference, SecondGradientsMut, Statistics, StatisticsMut,
    StatisticsSource,
};
use crate::backend::saved_activation::SavedActivation;
use crate::config::quantization::Quantization;
use crate::cpu::{Cpu, CpuMask};
#[cfg(feature = "cuda")]
use crate::cuda::memory::{CudaMemory, CudaMemoryMut};
#[cfg(feature = "cuda")]
use crate::cuda::{Cuda, CudaMask};
use crate::device::{DeviceMask, DeviceSlice, DeviceSliceMut};
use crate::element::Element;
#[cfg(feature = "cuda")]
use crate::error::Error;
use crate::error::Result;
use crate::shape::Shape;

/// What may be memory of backend `B`.
pub(super) trait Downcast<B> {
    /// What it then is.
    type Concrete;
    fn downcast(self) -> Result<Self::Concrete>;
}

/// What is memory of backend `B`, or the error that it is not.
pub(super) fn downcast<B, O: Downcast<B>>(operand: O) -> Result<O::Concrete> {
    operand.downcast()
}

#[cfg(feature = "cuda")]
fn elsewhere(found: &str, needed: &str) -> Error {
    Error::DeviceMismatch {
        found: found.to_owned(),
        needed: needed.to_owned(),
    }
}

/// Memory, by what it is on the processor and on a GPU.
macro_rules! memory {
    ($variants:ident, $memory:ty, [$($generics:tt)*] => $cpu:ty, $cuda:ty) => {
        impl<$($generics)*> Downcast<Cpu> for $memory {
            type Concrete = $cpu;
            fn downcast(self) -> Result<$cpu> {
                match self {
                    $variants::Cpu(concrete) => Ok(concrete),
                    #[cfg(feature = "cuda")]
                    $variants::Cuda(_) => Err(elsewhere("a GPU", "the processor")),
                }
            }
        }

        #[cfg(feature = "cuda")]
        impl<$($generics)*> Downcast<Cuda> for $memory {
            type Concrete = $cuda;
            fn downcast(self) -> Result<$cuda> {
                match self {
                    $variants::Cuda(concrete) => Ok(concrete),
                    $variants::Cpu(_) => Err(elsewhere("the processor", "a GPU")),
                }
            }
        }
    };
}

memory!(DeviceSlice, DeviceSlice<'a, T>, ['a, T: Element] => &'a [T], CudaMemory<'a, T>);
memory!(DeviceSliceMut, DeviceSliceMut<'a, T>, ['a, T: Element] => &'a mut [T], CudaMemoryMut<'a, T>);
memory!(DeviceMask, &'a DeviceMask, ['a] => &'a CpuMask, &'a CudaMask);
memory!(DeviceMask, &'a mut DeviceMask, ['a] => &'a mut CpuMask, &'a mut CudaMask);

/// Operands that are the same everywhere: without memory, or with the host's.
macro_rules! the_same {
    ($($operand:ty),*) => {$(
        impl<B> Downcast<B> for $operand {
            type Concrete = Self;
            fn downcast(self) -> Result<Self> {
                Ok(self)
            }
        }
    )*};
}

the_same!(f64, usize, bool, Activation, StatisticsSource);
the_same!(&Shape, &Kept, MomentsMut<'_>, &[f64], &mut [f64]);
the_same!(&Quantization, &mut [i8]);

/// Operands whose fields are operands.
macro_rules! fields {
    ($($operand:ident<$($memory:ident),*> { $($field:ident),* })*) => {$(
        impl<B, $($memory: Downcast<B>),*> Downcast<B> for $operand<$($memory),*> {
            type Concrete = $operand<$($memory::Concrete),*>;
            fn downcast(self) -> Result<Self::Concrete> {
                Ok($operand { $($field: downcast::<B, _>(self.$field)?),* })
            }
        }
    )*};
}

fields! {
    Statistics<S> { mean, mean_low, variance, inv_std }
    StatisticsMut<W> { mean, mean_low, variance, inv_std, running }
    RunningMut<W> { mean, variance, factor, correction, only_finite }
    RunningReference<S> { mean, variance, r_max, d_max }
    RenormalizedMut<W> { gamma, beta, r, d }
    Normalization<S> { mean, mean_low, inv_std, gamma, beta }
    Affine<S> { gamma, beta, epsilon }
    GradientSums<S> { gamma, beta, count }
    GradientSumsMut<W> { gamma, beta }
    GradientsOfGradients<S, P> { input, residual, gamma, beta }
    SecondGradientsMut<W, P> { dy, x, gamma }
    Epilogue<S, M, W> { activation, residual, saved }
    ActivationBackward<M, V> { activation, saved }
}

impl<B, S: Downcast<B>> Downcast<B> for Option<S> {
    type Concrete = Option<S::Concrete>;
    fn downcast(self) -> Result<Self::Concrete> {
        self.map(S::downcast).transpose()
    }
}

impl<B, S: Downcast<B>, W: Downcast<B>> Downcast<B> for InOut<S, W> {
    type Concrete = InOut<S::Concrete, W::Concrete>;
    fn downcast(self) -> Result<Self::Concrete> {
        Ok(match self {
            InOut::Separate(from, to) => InOut::Separate(from.downcast()?, to.downcast()?),
            InOut::InPlace(both) => InOut::InPlace(both.downcast()?),
        })
    }
}

impl<B, M: Downcast<B>, V: Downcast<B>> Downcast<B> for SavedActivation<M, V> {
    type Concrete = SavedActivation<M::Concrete, V::Concrete>;
    fn downcast(self) -> Result<Self::Concrete> {
        self.try_map(M::downcast, V::downcast)
    }
}

#[cfg(all(test, feature = "cuda"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_processor_is_refused_on_a_gpu() {
        let mut values = [1.0f32, 2.0];
        let read = downcast::<Cuda, _>(DeviceSlice::Cpu(&values));
        assert!(
            matches!(read, Err(Error::DeviceMismatch { .. })),
            "{read:?}"
        );
        let on = DeviceSliceMut::Cpu(&mut values);
        let message = downcast::<Cuda, _>(on).unwrap_err().to_string();
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
        let read = downcast::<Cpu, _>(DeviceSlice::Cuda(memory));
        assert_eq!(read.unwrap_err(), elsewhere("a GPU", "the processor"));
    }
}
