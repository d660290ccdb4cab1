//! THE ONLY MATCH on where a candle tensor is: its memory as an operand of this crate's, without a copy.

use crate::{Device, DeviceBuffer, DeviceSlice, Element, Error, Layout, Shape};
use candle_core::{CpuStorage, Result, Storage, StorageRef, Tensor, WithDType};

/// A data type that both candle and this crate have.
pub(super) trait Value: Element + WithDType {}

impl<T: Element + WithDType> Value for T {}

/// The device of this crate's for tensors on that device of candle's.
pub(super) fn device_of(device: &candle_core::Device) -> Result<Device> {
    match device {
        candle_core::Device::Cpu => Ok(Device::cpu()),
        other => Err(elsewhere(&format!("{:?}", other.location()))),
    }
}

/// A tensor, locked against changes.
pub(super) struct Lent<'a> {
    storage: StorageRef<'a>,
    layout: &'a candle_core::Layout,
}

impl<'a> Lent<'a> {
    /// Lends a tensor whose values are one run of memory.
    pub(super) fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage, layout }
    }

    /// The values, in memory order.
    pub(super) fn slice<T: Value>(&self) -> Result<DeviceSlice<'_, T>> {
        let start = self.layout.start_offset();
        let range = start..start + self.layout.shape().elem_count();
        match &*self.storage {
            Storage::Cpu(storage) => {
                Ok(DeviceSlice::Cpu(&T::cpu_storage_as_slice(storage)?[range]))
            }
            Storage::Cuda(_) => Err(elsewhere("CUDA")),
            Storage::Metal(_) => Err(elsewhere("Metal")),
        }
    }
}

/// Gives memory of this crate's to candle.
pub(super) fn give<T: Value>(buffer: DeviceBuffer<T>) -> Result<Storage> {
    match buffer {
        DeviceBuffer::Cpu(values) => Ok(Storage::Cpu(T::to_cpu_storage_owned(values))),
        #[cfg(feature = "cuda")]
        DeviceBuffer::Cuda(_) => Err(elsewhere("CUDA")),
    }
}

/// The processor's memory, where it must be.
pub(super) fn on_cpu(storage: Storage) -> Result<CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        Storage::Cuda(_) | Storage::Metal(_) => Err(elsewhere("a GPU")),
    }
}

fn elsewhere(device: &str) -> candle_core::Error {
    candle_core::Error::wrap(Error::DeviceUnavailable {
        device: device.to_owned(),
        reason: "this build normalizes candle tensors on the CPU only".to_owned(),
    })
}

/// The shape that a tensor's strides tell, if its values are one run of memory in either layout.
pub(super) fn shape_of(tensor: &Tensor) -> crate::Result<Shape> {
    let strides: Vec<isize> = tensor.stride().iter().map(|s| s.cast_signed()).collect();
    crate::arrays::shape_of(tensor.dims(), &strides)
}

/// A tensor of logical axes (N, C, spatial...), its axes in the memory order of `layout`.
pub(super) fn to_memory_order(tensor: &Tensor, layout: Layout) -> Result<Tensor> {
    move_channels(tensor, layout, |axes| axes.rotate_left(1))
}

/// The reverse of [`to_memory_order`].
pub(super) fn to_logical_order(tensor: &Tensor, layout: Layout) -> Result<Tensor> {
    move_channels(tensor, layout, |axes| axes.rotate_right(1))
}

/// Has `rotate` bring the axes after the batch into order, where the channels are last.
fn move_channels(tensor: &Tensor, layout: Layout, rotate: fn(&mut [usize])) -> Result<Tensor> {
    if layout == Layout::ChannelsFirst {
        return Ok(tensor.clone());
    }
    let mut axes: Vec<usize> = (0..tensor.rank()).collect();
    rotate(&mut axes[1..]);
    tensor.permute(axes)
}
