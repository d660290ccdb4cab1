//! What a rank needs of the others.

use std::rc::Rc;
use std::sync::Arc;

use crate::error::{Error, Result};

/// One rank's connection to all ranks: those of a world, numbered from 0, of which each has a part of every batch. They may be threads
/// ([`ThreadRank`](crate::ThreadRank)), processes (`examples/mpi`, in the repository, is a transport through MPI), or machines.
///
/// Layers that share a connection use it one after the other: all ranks must call the same passes of the same layers in the same
/// order.
pub trait Transport {
    /// Which of the ranks this is.
    fn rank(&self) -> usize;

    /// How many there are.
    fn world(&self) -> usize;

    /// Gathers the bytes of all ranks, each of which calls this with as many: `received` is `world` times as long as `send`, and gets
    /// the bytes of rank 0, then of rank 1, and so on.
    ///
    /// # Errors
    /// When some rank cannot be reached, has not come in time where the transport has a time limit, or has called with another number
    /// of bytes: [`Error::Transport`](crate::Error::Transport).
    fn all_gather(&self, send: &[u8], received: &mut [u8]) -> Result<()>;
}

/// That there is room for as many bytes of each of a world's ranks, and for no more: every transport of this crate asks here first.
pub(crate) fn check_room(world: usize, send: &[u8], received: &[u8]) -> Result<()> {
    let (found, bytes) = (received.len(), send.len());
    if Some(found) == bytes.checked_mul(world) {
        return Ok(());
    }
    Err(failed(format!(
        "there is room for {found} bytes, needed are {world} times {bytes}"
    )))
}

/// Why ranks cannot exchange anything.
pub(super) fn failed(reason: String) -> Error {
    Error::Transport {
        reason,
        source: None,
    }
}

macro_rules! transport_behind {
    ($($pointer:ty),*) => {$(
        impl<R: Transport + ?Sized> Transport for $pointer {
            fn rank(&self) -> usize {
                (**self).rank()
            }
            fn world(&self) -> usize {
                (**self).world()
            }
            fn all_gather(&self, send: &[u8], received: &mut [u8]) -> Result<()> {
                (**self).all_gather(send, received)
            }
        }
    )*};
}

transport_behind!(&R, Arc<R>, Rc<R>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_all_and_for_no_more() {
        assert!(check_room(3, &[0; 2], &[0; 6]).is_ok());
        assert!(check_room(1, &[], &[]).is_ok());
        for received in [0, 2, 5, 7] {
            let refused = check_room(3, &[0; 2], &vec![0; received]).unwrap_err();
            let needed = format!("room for {received} bytes, needed are 3 times 2");
            assert!(refused.to_string().contains(&needed), "{refused}");
        }
        assert!(check_room(usize::MAX, &[0; 2], &[0; 2]).is_err());
    }
}
