//! One collective: every rank does its part of the work and tells it, or that it could not, and all go on or none does.

use std::error::Error as StdError;

use crate::error::cause::Cause;
use crate::error::{Error, Result};
use crate::synchronized::message::{Call, Message, Messages};
use crate::synchronized::transport::{Transport, failed};

/// The world that a transport says it is of.
pub(super) fn check_world(ranks: &impl Transport) -> Result<()> {
    let (rank, world) = (ranks.rank(), ranks.world());
    if rank < world {
        return Ok(());
    }
    Err(failed(format!("rank {rank} is none of {world}")))
}

/// Does this rank's part of the work, writes of it what the others are to know of each of the layers, of so many channels, and gathers
/// what all have written. Whatever keeps this rank from its part, it takes part in the collective: the others would wait for it.
///
/// # Errors
/// [`Error::RankFailed`] on all ranks where one could not do its part; [`Error::Transport`] where they are not in the same call, or cannot
/// exchange anything.
pub(crate) fn exchange<'c, W, E: StdError + Send + Sync + 'static>(
    ranks: &impl Transport,
    call: Call,
    layers: &'c [usize],
    work: impl FnOnce(&mut Message<'_>) -> Result<W, E>,
) -> Result<(W, Messages<'c>)> {
    let (rank, world) = (ranks.rank(), ranks.world());
    let mut messages = Messages::room(world, layers)?;
    let mut message = Message::new(call, rank, layers)?;
    let done = work(&mut message);
    if let Err(error) = &done {
        message.fail(error);
    }
    ranks.all_gather(message.bytes(), messages.bytes_mut())?;
    check_gathered(&message, rank, &messages)?;
    check_same_call(call, &messages)?;
    let done = done_by_all(rank, done, &messages)?;
    Ok((done, messages))
}

/// What this rank has done, unless one has failed: the error is that of the first that has, on all ranks.
fn done_by_all<W, E: StdError + Send + Sync + 'static>(
    rank: usize,
    done: Result<W, E>,
    messages: &Messages<'_>,
) -> Result<W> {
    let mut each = messages.each().enumerate();
    let first = each.find(|(_, message)| message.has_failed());
    let (failed, reason, source) = match (first, done) {
        (None, Ok(done)) => return Ok(done),
        (None, Err(own)) => (rank, own.to_string(), Some(Cause::new(own))),
        (Some((failed, message)), done) => {
            let own = done.err().filter(|_| failed == rank);
            (failed, message.text(), own.map(Cause::new))
        }
    };
    Err(Error::RankFailed {
        rank: failed,
        reason,
        source,
    })
}

/// That a transport has gathered, and by rank.
fn check_gathered(sent: &Message<'_>, rank: usize, messages: &Messages<'_>) -> Result<()> {
    for (place, message) in messages.each().enumerate() {
        if !message.is_from(place) {
            return Err(failed(format!(
                "at the place of rank {place} are not its bytes"
            )));
        }
    }
    match messages.each().nth(rank) {
        Some(own) if own.bytes() == sent.bytes() => Ok(()),
        _ => Err(failed(format!(
            "what rank {rank} has sent came back as something else"
        ))),
    }
}

fn check_same_call(call: Call, messages: &Messages<'_>) -> Result<()> {
    if messages.each().all(|message| message.is_of(call)) {
        return Ok(());
    }
    let all: Vec<String> = messages
        .each()
        .enumerate()
        .map(|(rank, message)| format!("rank {rank} is {}", message.call_described()))
        .collect();
    Err(failed(format!(
        "all ranks must call the same passes in the same order, but {}",
        all.join(", ")
    )))
}
