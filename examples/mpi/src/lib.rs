//! The ranks of a synchronized layer as processes, connected by MPI.

use std::time::{Duration, Instant};

use batchnorm::{Error, Result, Transport};
use mpi::request;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};

/// What all processes end with where one did not come.
pub const DID_NOT_COME: i32 = 75;

/// One process among those of a communicator.
pub struct MpiRanks {
    communicator: SimpleCommunicator,
    limit: Duration,
}

impl MpiRanks {
    /// The ranks of a communicator, which wait for each other at most so long: then all processes end, for MPI cannot take back an
    /// exchange that was begun.
    pub fn new(communicator: SimpleCommunicator, limit: Duration) -> Self {
        Self {
            communicator,
            limit,
        }
    }
}

impl Transport for MpiRanks {
    fn rank(&self) -> usize {
        number(self.communicator.rank())
    }

    fn world(&self) -> usize {
        number(self.communicator.size())
    }

    fn all_gather(&self, send: &[u8], received: &mut [u8]) -> Result<()> {
        // MPI counts in 32 bits.
        if i32::try_from(send.len()).is_err() || received.len() != send.len() * self.world() {
            let (found, ranks) = (received.len(), self.world());
            return Err(Error::Transport {
                reason: format!(
                    "{} bytes of each of {ranks} ranks do not go into {found}",
                    send.len()
                ),
                source: None,
            });
        }
        let begin = Instant::now();
        request::scope(|scope| {
            let mut exchange = self
                .communicator
                .immediate_all_gather_into(scope, send, received);
            loop {
                match exchange.test() {
                    Ok(_) => return,
                    Err(unfinished) => exchange = unfinished,
                }
                if begin.elapsed() > self.limit {
                    let (rank, limit) = (self.rank(), self.limit);
                    eprintln!("rank {rank}: some rank did not come within {limit:?}");
                    self.communicator.abort(DID_NOT_COME);
                }
            }
        });
        Ok(())
    }
}

/// MPI's numbers of ranks are not negative.
fn number(of_mpi: i32) -> usize {
    usize::try_from(of_mpi).unwrap_or(0)
}
