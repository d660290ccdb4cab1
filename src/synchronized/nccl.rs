//! Ranks that have a GPU each, connected by NVIDIA's library of collectives, NCCL (feature `nccl`).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cudarc::driver::{CudaSlice, CudaStream};

use crate::cuda::Cuda;
use crate::cuda::driver_error::driver_error;
use crate::cuda::memory::{CudaMemory, CudaMemoryMut};
use crate::cuda::nccl::communicator::Communicator;
use crate::cuda::nccl::library::UniqueId;
use crate::element::Element;
use crate::error::Result;
use crate::synchronized::in_stream::transport::StreamTransport;
use crate::synchronized::transport::{Transport, check_room, failed};

/// What connects the ranks of a group: one rank makes it, and tells it to the others by whatever means they have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NcclId(UniqueId);

impl NcclId {
    /// A new one.
    ///
    /// # Errors
    /// [`crate::Error::Transport`] where there is no NCCL (`libnccl.so.2`, found as any shared library is), or what NCCL says.
    pub fn new() -> Result<Self> {
        UniqueId::new().map(Self)
    }

    /// As it is told to the others.
    pub fn to_bytes(self) -> [u8; 128] {
        self.0.0
    }

    /// As another rank has told it.
    pub fn from_bytes(bytes: [u8; 128]) -> Self {
        Self(UniqueId(bytes))
    }
}

/// Nobody needs to read it.
impl fmt::Debug for NcclId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NcclId")
    }
}

/// A rank that has a GPU, connected to the others by NCCL: between GPUs of a machine and between machines.
///
/// What is exchanged goes through the GPU's memory, in its own stream. In the passes in the stream
/// ([`SyncBatchNorm::forward_training_in_stream`](crate::SyncBatchNorm::forward_training_in_stream)) it stays there: nothing waits, and they
/// can be captured in a CUDA graph. In all others it is uploaded, gathered, and read back, and the ranks' statistics are merged on the
/// host, which waits for that twice a step, and tells of a rank that has failed.
///
/// A rank that does not come within the time limit makes the exchange, or of passes in the stream [`wait`](Self::wait), an error on those
/// that wait, and ends their connection. While the connection is made, and while NCCL opens its channels in the first exchange, it is
/// NCCL that waits, as long as NCCL does.
///
/// ```no_run
/// use std::time::Duration;
/// use batchnorm::{BatchNorm, BatchNormConfig, Cuda, NcclId, NcclRank, SyncBatchNorm};
/// # fn told_by_rank_0() -> [u8; 128] { [0; 128] }
/// let (rank, world) = (1, 2);
/// let gpu = Cuda::new(rank)?;
/// let id = if rank == 0 { NcclId::new()? } else { NcclId::from_bytes(told_by_rank_0()) };
/// let ranks = NcclRank::connect(&gpu, id, rank, world, Duration::from_secs(60))?;
/// let layer = SyncBatchNorm::new(BatchNorm::new(&gpu, BatchNormConfig::new(64))?, &ranks)?;
/// # Ok::<(), batchnorm::Error>(())
/// ```
pub struct NcclRank {
    stream: Arc<CudaStream>,
    rank: usize,
    world: usize,
    limit: Duration,
    /// None once an exchange has failed: where the others are then is not known.
    connection: Mutex<Option<Connection>>,
}

/// NCCL's, and memory of the device for what is exchanged.
struct Connection {
    communicator: Communicator,
    send: CudaSlice<u8>,
    received: CudaSlice<u8>,
}

impl NcclRank {
    /// Connects this rank, one of `world`, which all call this with the same id: exchanges are in the GPU's stream.
    ///
    /// # Errors
    /// [`crate::Error::Transport`] where there is no NCCL, for a rank that is none of the world, or what NCCL says; [`crate::Error::Driver`].
    pub fn connect(
        gpu: &Cuda,
        id: NcclId,
        rank: usize,
        world: usize,
        limit: Duration,
    ) -> Result<Self> {
        if rank >= world {
            return Err(failed(format!("rank {rank} is none of {world}")));
        }
        let stream = Arc::clone(gpu.stream());
        (stream.context().bind_to_thread())
            .map_err(|error| driver_error("use the device", error))?;
        let room = || stream.alloc_zeros(1);
        let room = || room().map_err(|error| driver_error("allocate memory", error));
        let connection = Connection {
            send: room()?,
            received: room()?,
            communicator: Communicator::connect(id.0, rank, world)?,
        };
        Ok(Self {
            stream,
            rank,
            world,
            limit,
            connection: Mutex::new(Some(connection)),
        })
    }

    /// Waits until all that is in the stream has been done, gathers of passes among it: of those it is here that a rank is noticed which
    /// does not come.
    ///
    /// # Errors
    /// [`crate::Error::Transport`] where that takes longer than the time limit, or something of it has failed; then the connection has
    /// ended. [`crate::Error::Driver`].
    pub fn wait(&self) -> Result<()> {
        let limit = self.limit;
        self.with_connection(|open, stream| open.wait(stream, limit))
    }

    /// Does something with the connection, which an error ends: that ends what the others wait for.
    fn with_connection(
        &self,
        work: impl FnOnce(&mut Connection, &Arc<CudaStream>) -> Result<()>,
    ) -> Result<()> {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(mut open) = connection.take() else {
            let reason = "an earlier exchange has failed, and ended the connection";
            return Err(failed(reason.to_owned()));
        };
        work(&mut open, &self.stream)?;
        *connection = Some(open);
        Ok(())
    }
}

/// Waits for what is in the stream, at most as long as the time limit: NCCL gives up what it has begun when its connection ends.
impl Drop for NcclRank {
    fn drop(&mut self) {
        // Others wait for a rank that has panicked.
        if !std::thread::panicking() {
            // There is nobody to tell; and where an exchange has failed before there is nothing to wait for.
            let _ = self.wait();
        }
    }
}

impl Connection {
    /// Gathers, and waits until it is done.
    fn gather(
        &mut self,
        stream: &Arc<CudaStream>,
        send: &[u8],
        received: &mut [u8],
        (world, limit): (usize, Duration),
    ) -> Result<()> {
        let failed = |error| driver_error("exchange what ranks tell each other", error);
        if self.send.len() < send.len() {
            self.send = stream.alloc_zeros(send.len()).map_err(failed)?;
            self.received = stream.alloc_zeros(received.len()).map_err(failed)?;
        }
        let mut on_device = self.send.slice_mut(..send.len());
        stream.memcpy_htod(send, &mut on_device).map_err(failed)?;
        let mut gathered = self.received.slice_mut(..received.len());
        (self.communicator).all_gather(stream, &on_device, &mut gathered, world)?;
        wait(&mut self.communicator, stream, limit)?;
        stream.memcpy_dtoh(&gathered, received).map_err(failed)?;
        stream.synchronize().map_err(failed)
    }

    fn wait(&mut self, stream: &Arc<CudaStream>, limit: Duration) -> Result<()> {
        wait(&mut self.communicator, stream, limit)
    }
}

/// Waits until all that is in the stream is done, for so long.
fn wait(communicator: &mut Communicator, stream: &CudaStream, limit: Duration) -> Result<()> {
    let failed = |error| driver_error("wait for what ranks tell each other", error);
    let done = stream.record_event(None).map_err(failed)?;
    let is_done = || done.try_is_complete().map_err(failed);
    wait_until(is_done, || communicator.check(), limit)
}

/// Waits until it is done, for so long, and while nothing has gone wrong.
fn wait_until(
    mut is_done: impl FnMut() -> Result<bool>,
    mut check: impl FnMut() -> Result<()>,
    limit: Duration,
) -> Result<()> {
    let begin = Instant::now();
    while !is_done()? {
        check()?;
        if begin.elapsed() > limit {
            return Err(failed(format!("some rank did not come within {limit:?}")));
        }
        std::thread::yield_now();
    }
    Ok(())
}

impl Transport for NcclRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn all_gather(&self, send: &[u8], received: &mut [u8]) -> Result<()> {
        check_room(self.world, send, received)?;
        let (world, limit) = (self.world, self.limit);
        self.with_connection(|open, stream| open.gather(stream, send, received, (world, limit)))
    }
}

impl StreamTransport<Cuda> for NcclRank {
    /// The GPU must work in the stream that the rank was connected in.
    fn all_gather_in_stream<T: Element>(
        &self,
        gpu: &Cuda,
        send: CudaMemory<'_, T>,
        received: CudaMemoryMut<'_, T>,
    ) -> Result<()> {
        if gpu.stream().cu_stream() != self.stream.cu_stream() {
            return Err(failed(format!(
                "{gpu} works in another stream than rank {} was connected in",
                self.rank
            )));
        }
        let world = self.world;
        self.with_connection(|open, _| {
            (open.communicator).all_gather_values::<T>(gpu.driver(), send, received, world)
        })
    }
}

/// Which rank it is.
impl fmt::Debug for NcclRank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NcclRank({} of {})", self.rank, self.world)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_that_does_not_come_is_an_error_when_the_time_is_over() {
        let limit = Duration::from_millis(20);
        let begin = Instant::now();
        let refused = wait_until(|| Ok(false), || Ok(()), limit).unwrap_err();
        assert!(
            refused.to_string().contains("did not come within 20ms"),
            "{refused}"
        );
        assert!(begin.elapsed() >= limit);
    }

    #[test]
    fn what_goes_wrong_on_the_way_ends_the_wait() {
        let limit = Duration::from_secs(300);
        let lost = || Err(failed("the cable is out".to_owned()));
        assert!(wait_until(|| Ok(false), lost, limit).is_err());
        let lost = || Err(failed("the device is gone".to_owned()));
        assert!(wait_until(lost, || Ok(()), limit).is_err());
        let mut asked = 0;
        let third_time = || {
            asked += 1;
            Ok(asked == 3)
        };
        wait_until(third_time, || Ok(()), limit).unwrap();
        assert_eq!(asked, 3);
    }

    #[test]
    fn an_id_is_told_as_bytes() {
        let bytes = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(NcclId::from_bytes(bytes).to_bytes(), bytes);
    }
}
