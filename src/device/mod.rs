//! THE ONLY DEVICE DISPATCH: the machine's best device, chosen when the program runs.

mod operands;
mod steps;

use std::fmt;

use ndarray::{ArrayBase, Dimension, RawData};

use crate::backend::sealed;
use crate::tensor::{Data, DataMut, View, ViewMut};
use crate::{Cpu, CpuMask, Element, Error, Result};

/// A backend chosen at run time. Use [`Cpu`] itself where the program knows.
///
/// ```
/// use batchnorm::Device;
/// let device = Device::best_available();
/// println!("running on {device}");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Device {
    /// The processor.
    Cpu(Cpu),
}

impl Device {
    /// The fastest device this build and this machine have. Never fails: there is always a processor.
    pub fn best_available() -> Self {
        Device::Cpu(Cpu::new())
    }

    /// The processor, on its best SIMD level and rayon's pool.
    pub fn cpu() -> Self {
        Device::Cpu(Cpu::new())
    }

    /// The `ordinal`-th NVIDIA GPU.
    ///
    /// # Errors
    /// [`Error::DeviceUnavailable`]: this build has no CUDA backend.
    pub fn cuda(ordinal: usize) -> Result<Self> {
        Err(Error::DeviceUnavailable {
            device: format!("cuda:{ordinal}"),
            reason: "this build has no CUDA backend".to_owned(),
        })
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::best_available()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu(cpu) => cpu.fmt(f),
        }
    }
}

impl From<Cpu> for Device {
    fn from(cpu: Cpu) -> Self {
        Device::Cpu(cpu)
    }
}

/// Memory of a [`Device`].
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceBuffer<T: Element> {
    /// The processor's.
    Cpu(Vec<T>),
}

/// Memory of a [`Device`], lent for reading.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum DeviceSlice<'a, T: Element> {
    /// The processor's.
    Cpu(&'a [T]),
}

/// Memory of a [`Device`], lent for writing.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceSliceMut<'a, T: Element> {
    /// The processor's.
    Cpu(&'a mut [T]),
}

/// The mask of a [`Device`].
#[derive(Debug)]
#[non_exhaustive]
pub enum DeviceMask {
    /// The processor's.
    Cpu(CpuMask),
}

impl sealed::Sealed for Device {}

/// On the processor, an array is used in place.
impl<S, D> Data<Device> for ArrayBase<S, D>
where
    S: ndarray::Data + RawData<Elem: Element>,
    D: Dimension,
{
    type Element = S::Elem;

    fn lend(&self) -> Result<View<'_, S::Elem, Device>> {
        let View { shape, values } = Data::<Cpu>::lend(self)?;
        Ok(View {
            shape,
            values: DeviceSlice::Cpu(values),
        })
    }
}

impl<S, D> DataMut<Device> for ArrayBase<S, D>
where
    S: ndarray::DataMut + RawData<Elem: Element>,
    D: Dimension,
{
    fn lend_mut(&mut self) -> Result<ViewMut<'_, S::Elem, Device>> {
        let ViewMut { shape, values } = DataMut::<Cpu>::lend_mut(self)?;
        Ok(ViewMut {
            shape,
            values: DeviceSliceMut::Cpu(values),
        })
    }
}
