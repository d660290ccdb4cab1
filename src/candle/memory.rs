//! THE ONLY FILE THAT ASKS where a candle tensor is: its memory as an operand of this crate's, without a copy.

use std::ops::Range;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, DType, Result, Storage, StorageRef, Tensor, WithDType};

use crate::backend::memory::Memory;
use crate::candle::error::wrap;
use crate::candle::gpu;
use crate::candle::value::Value;
use crate::cpu::Cpu;
use crate::device::{Device, DeviceBuffer, DeviceSlice};
use crate::error::Error;
use crate::shape::{Layout, Shape};

/// The device of this crate's for tensors on that device of candle's.
pub(super) fn device_of(device: &candle_core::Device) -> Result<Device> {
    match device {
        candle_core::Device::Cpu => Ok(Device::cpu()),
        candle_core::Device::Cuda(device) => gpu::device_of(device),
        candle_core::Device::Metal(_) => Err(metal()),
    }
}

/// A tensor, locked against changes.
pub(super) struct Borrowed<'a> {
    storage: StorageRef<'a>,
    layout: &'a candle_core::Layout,
}

impl<'a> Borrowed<'a> {
    /// A tensor whose values are one run of memory.
    pub(super) fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage, layout }
    }

    /// The values, in memory order.
    pub(super) fn slice<T: Value>(&self) -> Result<DeviceSlice<'_, T>> {
        let start = self.layout.start_offset();
        slice(
            &self.storage,
            start..start + self.layout.shape().elem_count(),
        )
    }
}

/// The values themselves, where they can be read without waiting for a device.
#[cfg_attr(
    not(feature = "cuda"),
    expect(clippy::unnecessary_wraps, reason = "there are no GPUs")
)]
pub(super) fn values_on_cpu<T: Value>(slice: DeviceSlice<'_, T>) -> Option<&[T]> {
    match slice {
        DeviceSlice::Cpu(values) => Some(values),
        #[cfg(feature = "cuda")]
        DeviceSlice::Cuda(_) => None,
    }
}

fn slice<T: Value>(storage: &Storage, range: Range<usize>) -> Result<DeviceSlice<'_, T>> {
    match storage {
        Storage::Cpu(storage) => Ok(DeviceSlice::Cpu(&T::cpu_storage_as_slice(storage)?[range])),
        Storage::Cuda(storage) => gpu::slice(storage, range),
        Storage::Metal(_) => Err(metal()),
    }
}

/// A variable of the layer as a pass reads it: in the type that is computed in, of which there is a copy where it is of a half type. The
/// copy is of one pass, for the variable can be set before the next, and is in nobody's graph.
pub(super) struct Variable<'a> {
    borrowed: Borrowed<'a>,
    converted: Option<Storage>,
}

impl<'a> Variable<'a> {
    /// A tensor whose values are one run of memory, to be read as values of `C`.
    pub(super) fn of<C: Value>(tensor: &'a Tensor) -> Result<Self> {
        let borrowed = Borrowed::of(tensor);
        let needed = <C as WithDType>::DTYPE;
        let converted = if tensor.dtype() == needed {
            None
        } else {
            Some(in_type(&borrowed.storage, borrowed.layout, needed)?)
        };
        Ok(Self {
            borrowed,
            converted,
        })
    }

    /// The values.
    pub(super) fn slice<C: Value>(&self) -> Result<DeviceSlice<'_, C>> {
        match &self.converted {
            Some(storage) => slice(storage, 0..self.borrowed.layout.shape().elem_count()),
            None => self.borrowed.slice(),
        }
    }
}

/// The values in a type, one run of memory: outside candle's graph, in which that would be an operation.
pub(super) fn in_type(
    storage: &Storage,
    layout: &candle_core::Layout,
    dtype: DType,
) -> Result<Storage> {
    match storage {
        Storage::Cpu(storage) => storage.to_dtype(layout, dtype).map(Storage::Cpu),
        Storage::Cuda(storage) => storage.to_dtype(layout, dtype).map(Storage::Cuda),
        Storage::Metal(_) => Err(metal()),
    }
}

/// Gives memory of this crate's to candle, on the device of candle's that it was made for: a GPU's as it is, the processor's
/// as a copy.
pub(super) fn give<T: Value>(
    buffer: DeviceBuffer<T>,
    device: &candle_core::Device,
) -> Result<Storage> {
    match (buffer, device) {
        (DeviceBuffer::Cpu(values), candle_core::Device::Cpu) => {
            let values = Cpu::new().download::<T>(&values).map_err(wrap)?;
            Ok(Storage::Cpu(T::to_cpu_storage_owned(values)))
        }
        #[cfg(feature = "candle-cuda")]
        (DeviceBuffer::Cuda(values), candle_core::Device::Cuda(device)) => {
            Ok(Storage::Cuda(gpu::give(values, device)))
        }
        _ => Err(elsewhere("the tensor's device")),
    }
}

/// The processor's memory, where it must be.
pub(super) fn on_cpu(storage: Storage) -> Result<CpuStorage> {
    match storage {
        Storage::Cpu(storage) => Ok(storage),
        Storage::Cuda(_) | Storage::Metal(_) => Err(elsewhere("the processor")),
    }
}

/// A GPU's memory, where it must be.
pub(super) fn on_cuda(storage: Storage) -> Result<CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Ok(storage),
        Storage::Cpu(_) | Storage::Metal(_) => Err(elsewhere("a GPU")),
    }
}

fn elsewhere(needed: &str) -> candle_core::Error {
    wrap(Error::DeviceMismatch {
        found: "another device".to_owned(),
        needed: needed.to_owned(),
    })
}

fn metal() -> candle_core::Error {
    wrap(Error::DeviceUnavailable {
        device: "Metal".to_owned(),
        reason: "candle's tensors are normalized on the CPU and on NVIDIA GPUs".to_owned(),
    })
}

/// The shape that a tensor's strides tell, if its values are one run of memory in either layout: of any rank, and empty
/// where any dimension but the channels' is zero. It has the tensor's batch, channels and values, not always its spatial
/// dimensions: [`memory_dims`] are those.
pub(super) fn shape_of(tensor: &Tensor) -> crate::error::Result<Shape> {
    let dims = tensor.dims();
    if dims.len() < 2 {
        return Shape::channels_first(dims);
    }
    if tensor.elem_count() == 0 {
        return Shape::channels_first(&[0, dims[1]]);
    }
    let strides: Vec<isize> = tensor.stride().iter().map(|s| s.cast_signed()).collect();
    let (dims, strides) = folded(dims, &strides);
    crate::interop::strides::shape_of(&dims, &strides)
}

/// The same array with so many spatial dimensions taken together that a [`Shape`] has room for the others, as far as they
/// lie one behind the other.
fn folded(dims: &[usize], strides: &[isize]) -> (Vec<usize>, Vec<isize>) {
    let (mut dims, mut strides) = (dims.to_vec(), strides.to_vec());
    for inner in (3..dims.len()).rev() {
        if dims.len() <= Shape::MAX_RANK {
            break;
        }
        let outer = inner - 1;
        // The stride of an axis of one value says nothing.
        let stride = match (dims[outer], dims[inner]) {
            (_, 1) => strides[outer],
            (1, _) => strides[inner],
            (_, len) if strides[outer] == strides[inner] * len.cast_signed() => strides[inner],
            _ => continue,
        };
        dims[outer] *= dims.remove(inner);
        strides.remove(inner);
        strides[outer] = stride;
    }
    (dims, strides)
}

/// A tensor's dimensions in the memory order of `layout`.
pub(super) fn memory_dims(tensor: &Tensor, layout: Layout) -> Vec<usize> {
    let mut dims = tensor.dims().to_vec();
    if layout == Layout::ChannelsLast {
        dims[1..].rotate_left(1);
    }
    dims
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
