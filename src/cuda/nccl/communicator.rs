//! One rank's connection to those of its group.
#![expect(unsafe_code, reason = "the library's functions are called")]

use std::ffi::{c_int, c_void};
use std::fmt;
use std::ptr;

use cudarc::driver::{CudaStream, DevicePtr, DevicePtrMut};

use crate::cuda::driver::CudaDriver;
use crate::cuda::driver_error::driver_error;
use crate::cuda::memory::{CudaMemory, CudaMemoryMut};
use crate::cuda::nccl::library::{Handle, IN_PROGRESS, Library, SUCCESS, UINT8, UniqueId};
use crate::element::Element;
use crate::error::{Error, Result};
use crate::gpu::driver::Driver;

/// One rank's connection to those of its group. What it has begun is given up when it is dropped.
pub(crate) struct Communicator {
    library: &'static Library,
    handle: Handle,
}

// SAFETY: NCCL's communicators may be used from any thread, by one at a time: every method takes `&mut self`.
unsafe impl Send for Communicator {}

impl Communicator {
    /// Connects a rank, on the current device of this thread. Waits for all ranks, as long as NCCL does.
    pub(crate) fn connect(id: UniqueId, rank: usize, world: usize) -> Result<Self> {
        Self::of(Library::loaded()?, id, rank, world)
    }

    fn of(library: &'static Library, id: UniqueId, rank: usize, world: usize) -> Result<Self> {
        let what = format!("connect rank {rank} of {world}");
        let number = |number: usize| {
            c_int::try_from(number).map_err(|_| Error::Transport {
                reason: format!("NCCL could not {what}: it counts in 32 bits"),
                source: None,
            })
        };
        let (number_of_rank, number_of_all) = (number(rank)?, number(world)?);
        let mut handle = ptr::null_mut();
        // SAFETY: there is room for a handle, and the id is one of NCCL's or is refused.
        let code =
            unsafe { (library.init_rank)(&raw mut handle, number_of_all, id, number_of_rank) };
        library.check(&what, code)?;
        Ok(Self { library, handle })
    }

    /// Puts a gather of all ranks' bytes into a stream.
    ///
    /// # Errors
    /// [`Error::Transport`], also where there is not room for exactly all of them.
    pub(crate) fn all_gather(
        &mut self,
        stream: &CudaStream,
        send: &impl DevicePtr<u8>,
        received: &mut impl DevicePtrMut<u8>,
        world: usize,
    ) -> Result<()> {
        let bytes = send.len();
        check_room("bytes", bytes, received.len(), world)?;
        let (send, _in_order) = send.device_ptr(stream);
        let (received, _in_order) = received.device_ptr_mut(stream);
        // SAFETY: there are so many bytes at the one address and `world` times as many at the other, checked above; both are borrowed
        // until the gather is in the stream, whose order the memory's owner keeps to.
        unsafe { self.enqueue(send, received, bytes, stream.cu_stream().cast()) }
    }

    /// Puts a gather of all ranks' values into a driver's stream, of the device that this rank was connected on.
    ///
    /// # Errors
    /// As [`all_gather`](Self::all_gather), and [`Error::DeviceMismatch`] for memory of another device's.
    pub(crate) fn all_gather_values<T: Element>(
        &mut self,
        driver: &CudaDriver,
        send: CudaMemory<'_, T>,
        mut received: CudaMemoryMut<'_, T>,
        world: usize,
    ) -> Result<()> {
        check_room("values", send.len(), received.len(), world)?;
        let bytes = send.len() * size_of::<T>();
        let stream = driver.stream();
        (stream.context().bind_to_thread())
            .map_err(|error| driver_error("use the device", error))?;
        let (send, _in_order) = driver.address::<T>(send)?;
        let (received, _in_order) = driver.address_mut::<T>(received.reborrow_mut())?;
        // SAFETY: there are so many values at the one address and `world` times as many at the other, checked above; both are borrowed
        // until the gather is in the stream, whose order the memory's owner keeps to.
        unsafe { self.enqueue(send, received, bytes, stream.cu_stream().cast()) }
    }

    /// # Safety
    /// There are so many bytes at the one address of the device's, and as many of each rank at the other, until the stream is through.
    unsafe fn enqueue(
        &mut self,
        send: u64,
        received: u64,
        bytes: usize,
        stream: *mut c_void,
    ) -> Result<()> {
        let (send, received) = (send as *const c_void, received as *mut c_void);
        // SAFETY: the memory is as the caller says, and the handle is this communicator's.
        let code =
            unsafe { (self.library.all_gather)(send, received, bytes, UINT8, self.handle, stream) };
        self.library.check("gather", code)
    }

    /// Whether something that was begun has gone wrong since.
    pub(crate) fn check(&mut self) -> Result<()> {
        let mut since = SUCCESS;
        // SAFETY: there is room for a code, and the handle is this communicator's.
        let code = unsafe { (self.library.get_async_error)(self.handle, &raw mut since) };
        self.library.check("say how it is", code)?;
        match since {
            IN_PROGRESS => Ok(()),
            since => self.library.check("gather", since),
        }
    }
}

/// That there is room for exactly as much of each rank.
fn check_room(what: &str, send: usize, received: usize, world: usize) -> Result<()> {
    if Some(received) == send.checked_mul(world) {
        return Ok(());
    }
    Err(Error::Transport {
        reason: format!("there is room for {received} {what}, needed are {world} times {send}"),
        source: None,
    })
}

impl Drop for Communicator {
    fn drop(&mut self) {
        // SAFETY: the handle is this communicator's, and nobody uses it after this. There is nobody to tell that it failed.
        unsafe { (self.library.abort)(self.handle) };
    }
}

impl fmt::Debug for Communicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Communicator({:?})", self.handle)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_char;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cuda::nccl::library::Code;

    fn reason<T>(result: Result<T>) -> String {
        match result {
            Err(Error::Transport { reason, .. }) => reason,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("no error"),
        }
    }

    /// Where there is none, none is found; where there is one, it refuses a rank beyond the last, with or without a GPU.
    #[test]
    fn the_library_of_this_machine_refuses_what_cannot_be() {
        match UniqueId::new() {
            Err(absent) => {
                let reason = reason::<()>(Err(absent));
                assert!(reason.contains("NCCL"), "{reason}");
            }
            Ok(id) => {
                let reason = reason(Communicator::connect(id, 1, 1));
                assert!(
                    reason.starts_with("NCCL could not connect rank 1 of 1: "),
                    "{reason}"
                );
            }
        }
    }

    static ABORTED: AtomicUsize = AtomicUsize::new(0);

    unsafe extern "C" fn no_id(_: *mut UniqueId) -> Code {
        2
    }
    unsafe extern "C" fn connects(handle: *mut Handle, _: c_int, _: UniqueId, _: c_int) -> Code {
        // SAFETY: who calls it has room for a handle.
        unsafe { *handle = ptr::dangling_mut() };
        SUCCESS
    }
    unsafe extern "C" fn does_not_connect(_: *mut Handle, _: c_int, _: UniqueId, _: c_int) -> Code {
        1
    }
    unsafe extern "C" fn gathers_one_byte(
        _: *const c_void,
        _: *mut c_void,
        bytes: usize,
        _: c_int,
        _: Handle,
        _: *mut c_void,
    ) -> Code {
        if bytes == 1 { SUCCESS } else { 5 }
    }
    unsafe extern "C" fn has_failed_since(_: Handle, since: *mut Code) -> Code {
        // SAFETY: who calls it has room for a code.
        unsafe { *since = 6 };
        SUCCESS
    }
    unsafe extern "C" fn is_at_it(_: Handle, since: *mut Code) -> Code {
        // SAFETY: as above.
        unsafe { *since = IN_PROGRESS };
        SUCCESS
    }
    unsafe extern "C" fn aborts(_: Handle) -> Code {
        ABORTED.fetch_add(1, Ordering::Relaxed);
        SUCCESS
    }
    unsafe extern "C" fn named(code: Code) -> *const c_char {
        match code {
            1 => c"unhandled cuda error".as_ptr(),
            6 => c"remote process exited or there was a network error".as_ptr(),
            _ => ptr::null(),
        }
    }

    /// A library that can do little.
    fn poor() -> Library {
        Library {
            get_unique_id: no_id,
            init_rank: connects,
            all_gather: gathers_one_byte,
            get_async_error: has_failed_since,
            abort: aborts,
            get_error_string: named,
        }
    }

    #[test]
    fn what_the_library_cannot_do_is_an_error() {
        let library: &'static Library = Box::leak(Box::new(poor()));
        let said = reason(UniqueId::of(library).map(drop));
        assert_eq!(
            said,
            "NCCL could not make an id: an error without a name (2)"
        );
        let id = UniqueId([0; 128]);
        let unconnected = Library {
            init_rank: does_not_connect,
            ..poor()
        };
        let said = reason(Communicator::of(Box::leak(Box::new(unconnected)), id, 0, 2));
        assert_eq!(
            said,
            "NCCL could not connect rank 0 of 2: unhandled cuda error (1)"
        );
        let said = reason(Communicator::of(library, id, 0, usize::MAX));
        assert!(said.ends_with("it counts in 32 bits"), "{said}");

        let mut connected = Communicator::of(library, id, 0, 2).unwrap();
        // SAFETY: this library reads and writes nothing.
        let gather = |connected: &mut Communicator, bytes| unsafe {
            connected.enqueue(0, 0, bytes, ptr::null_mut())
        };
        gather(&mut connected, 1).unwrap();
        let said = reason(gather(&mut connected, 2));
        assert_eq!(said, "NCCL could not gather: an error without a name (5)");
        let said = reason(connected.check());
        assert!(said.contains("remote process exited"), "{said}");
        let before = ABORTED.load(Ordering::Relaxed);
        drop(connected);
        assert_eq!(ABORTED.load(Ordering::Relaxed), before + 1);
    }

    #[test]
    fn what_is_not_done_yet_is_no_error() {
        let patient = Library {
            get_async_error: is_at_it,
            ..poor()
        };
        let library: &'static Library = Box::leak(Box::new(patient));
        Communicator::of(library, UniqueId([0; 128]), 0, 1)
            .unwrap()
            .check()
            .unwrap();
    }
}
