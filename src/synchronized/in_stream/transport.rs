//! What a rank needs of the others where the host is not to wait.

use std::rc::Rc;
use std::sync::Arc;

use crate::allocate::filled;
use crate::backend::memory::Memory;
use crate::element::Element;
use crate::error::Result;
use crate::shape::check_len;
use crate::synchronized::threads::ThreadRank;
use crate::synchronized::transport::Transport;

/// A connection that gathers a device's memory in the order of its stream.
pub trait StreamTransport<M: Memory>: Transport {
    /// Gathers the values of all ranks, each of which calls this with as many: `received` is `world` times as long as `send`, and gets
    /// those of rank 0, then of rank 1, and so on, before any work that is put into the stream later.
    ///
    /// # Errors
    /// When the gather cannot be put into the stream: [`crate::Error::Transport`], and [`crate::Error::Length`] where there is not room for
    /// exactly all values.
    fn all_gather_in_stream<T: Element>(
        &self,
        device: &M,
        send: M::Slice<'_, T>,
        received: M::SliceMut<'_, T>,
    ) -> Result<()>;
}

/// Through the host, which waits for the stream and for the other threads: what is tested with it are the passes, not the wait.
impl<M: Memory> StreamTransport<M> for ThreadRank {
    fn all_gather_in_stream<T: Element>(
        &self,
        device: &M,
        send: M::Slice<'_, T>,
        received: M::SliceMut<'_, T>,
    ) -> Result<()> {
        let sent = device.download::<T>(send)?;
        let needed = sent.len().saturating_mul(self.world());
        check_len(
            "the room for what is gathered",
            M::len::<T>(&M::reborrow::<T>(&received)),
            needed,
        )?;
        let mut gathered = filled(needed, T::default())?;
        self.all_gather(
            bytemuck::cast_slice(&sent),
            bytemuck::cast_slice_mut(&mut gathered),
        )?;
        let gathered = device.upload(&gathered)?;
        device.copy::<T>(M::as_slice(&gathered), received)
    }
}

macro_rules! transport_behind {
    ($($pointer:ty),*) => {$(
        impl<M: Memory, R: StreamTransport<M> + ?Sized> StreamTransport<M> for $pointer {
            fn all_gather_in_stream<T: Element>(
                &self,
                device: &M,
                send: M::Slice<'_, T>,
                received: M::SliceMut<'_, T>,
            ) -> Result<()> {
                (**self).all_gather_in_stream::<T>(device, send, received)
            }
        }
    )*};
}

transport_behind!(&R, Arc<R>, Rc<R>);
