//! Memory that is read, written, copied and looked through, and a kernel that does nothing.
#![expect(unsafe_code, reason = "kernels believe what they are given")]

use batchnorm::cuda::CudaBuffer;
use batchnorm::cudarc::driver::{
    CudaFunction, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, result,
};
use batchnorm::{Element, Result};
use cuda_machine::machine::Machine;

use crate::gpu::own_kernels::{failed, load};

const CEILINGS: &str = include_str!(concat!(env!("OUT_DIR"), "/ceilings.ptx"));

/// Threads of a block, of each kernel here.
const THREADS: u32 = 512;

/// The byte that memory is filled with before it is to be written: values of such bytes are no numbers.
const UNWRITTEN: u8 = 0xff;

/// Those of `ceilings.cu`.
pub(crate) struct MemoryKernels<'a> {
    machine: &'a Machine,
    copy: CudaFunction,
    read: CudaFunction,
    write: CudaFunction,
    empty: CudaFunction,
    count: CudaFunction,
}

impl<'a> MemoryKernels<'a> {
    pub(crate) fn load(machine: &'a Machine) -> Result<Self> {
        let module = load(machine, CEILINGS)?;
        let find = |name| module.load_function(name).map_err(failed);
        Ok(Self {
            machine,
            copy: find("copy_packets")?,
            read: find("read_packets")?,
            write: find("write_packets")?,
            empty: find("empty")?,
            count: find("count_words")?,
        })
    }

    /// Four blocks of 512 threads fill a multiprocessor.
    fn everywhere(&self) -> LaunchConfig {
        of_blocks(4 * self.machine.gpu.attributes().multiprocessors)
    }

    pub(crate) fn read(&self, from: &CudaBuffer<f32>, never: &mut CudaBuffer<f32>) -> Result<()> {
        self.read_by(self.everywhere(), from, never)
    }

    /// By one multiprocessor, which has as many loads on their way as the library's kernels have.
    pub(crate) fn read_alone(
        &self,
        from: &CudaBuffer<f32>,
        never: &mut CudaBuffer<f32>,
    ) -> Result<()> {
        self.read_by(of_blocks(1), from, never)
    }

    fn read_by(
        &self,
        blocks: LaunchConfig,
        from: &CudaBuffer<f32>,
        never: &mut CudaBuffer<f32>,
    ) -> Result<()> {
        let packets = from.len() as u64 / 4;
        let mut launch = self.machine.stream().launch_builder(&self.read);
        launch.arg(from).arg(never).arg(&packets);
        // SAFETY: the kernel reads so many packets of 16 bytes of the first array, and writes at most one to the second.
        unsafe { launch.launch(blocks) }.map_err(failed).map(drop)
    }

    pub(crate) fn write(&self, to: &mut CudaBuffer<f32>) -> Result<()> {
        let packets = to.len() as u64 / 4;
        let mut launch = self.machine.stream().launch_builder(&self.write);
        launch.arg(to).arg(&packets);
        // SAFETY: the kernel writes so many packets of 16 bytes, which the array has.
        unsafe { launch.launch(self.everywhere()) }
            .map_err(failed)
            .map(drop)
    }

    pub(crate) fn copy(&self, from: &CudaBuffer<f32>, to: &mut CudaBuffer<f32>) -> Result<()> {
        let packets = from.len().min(to.len()) as u64 / 4;
        let mut launch = self.machine.stream().launch_builder(&self.copy);
        launch.arg(from).arg(to).arg(&packets);
        // SAFETY: the kernel reads and writes so many packets of 16 bytes, which both arrays have.
        unsafe { launch.launch(self.everywhere()) }
            .map_err(failed)
            .map(drop)
    }

    pub(crate) fn nothing(&self) -> Result<()> {
        let mut launch = self.machine.stream().launch_builder(&self.empty);
        // SAFETY: the kernel does nothing.
        unsafe { launch.launch(of_blocks(1)) }
            .map_err(failed)
            .map(drop)
    }

    /// Fills an array with what no pass writes to all of 32 bits.
    pub(crate) fn poison<T: Element>(&self, array: &mut CudaBuffer<T>) -> Result<()> {
        let stream = self.machine.stream();
        let bytes = array.len() * size_of::<T>();
        let (address, _guard) = array.device_ptr_mut(stream);
        // SAFETY: the array has so many bytes, and any bits are a value of an element.
        unsafe { result::memset_d8_async(address, UNWRITTEN, bytes, stream.cu_stream()) }
            .map_err(failed)
    }

    /// How many 32-bit words of an array are still as [`poison`](Self::poison) left them.
    pub(crate) fn count_unwritten<T: Element>(&self, array: &CudaBuffer<T>) -> Result<u64> {
        let stream = self.machine.stream();
        let mut counter = stream.alloc_zeros::<u64>(1).map_err(failed)?;
        let words = (array.len() * size_of::<T>() / size_of::<u32>()) as u64;
        let unwritten = u32::from_ne_bytes([UNWRITTEN; 4]);
        let (address, _guard) = array.device_ptr(stream);
        let mut launch = stream.launch_builder(&self.count);
        launch.arg(&address).arg(&words).arg(&unwritten);
        launch.arg(&mut counter);
        // SAFETY: the kernel reads so many words of the array, and adds to one counter.
        unsafe { launch.launch(self.everywhere()) }.map_err(failed)?;
        let counted = stream.clone_dtoh(&counter).map_err(failed)?;
        Ok(counted[0])
    }
}

fn of_blocks(blocks: u32) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (blocks, 1, 1),
        block_dim: (THREADS, 1, 1),
        shared_mem_bytes: 0,
    }
}
