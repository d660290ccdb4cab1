//! One collective: every rank does its part of the work and tells it, or that it could not, and all go on or none does.

use crate::error::cause::Cause;
use crate::error::{Error, Result};
use crate::synchronized::message::{Call, Message, Messages};
use crate::synchronized::transport::Transport;

/// The world that a transport says it is of.
pub(super) fn check_world(ranks: &impl Transport) -> Result<()> {
    let (rank, world) = (ranks.rank(), ranks.world());
    if rank < world {
        return Ok(());
    }
    Err(broken(format!("rank {rank} is none of {world}")))
}

/// Does this rank's part of the work, writes of it what the others are to know of each of the layers, of so many channels, and gathers
/// what all have written. Whatever keeps this rank from its part, it takes part in the collective: the others would wait for it.
///
/// # Errors
/// [`Error::RankFailed`] on all ranks where one could not do its part; [`Error::Transport`] where they are not in the same call, or cannot
/// exchange anything.
pub(super) fn exchange<'c, W>(
    ranks: &impl Transport,
    call: Call,
    layers: &'c [usize],
    work: impl FnOnce(&mut Message<'_>) -> Result<W>,
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
    check_all_have_done(rank, done.as_ref().err(), &messages)?;
    Ok((done?, messages))
}

/// That no rank has failed: the error is that of the first that has, on all ranks.
fn check_all_have_done(rank: usize, own: Option<&Error>, messages: &Messages<'_>) -> Result<()> {
    let mut each = messages.each().enumerate();
    match each.find(|(_, message)| message.has_failed()) {
        None => Ok(()),
        Some((failed, message)) => Err(Error::RankFailed {
            rank: failed,
            reason: message.text(),
            source: own.filter(|_| failed == rank).cloned().map(Cause::new),
        }),
    }
}

/// That a transport has gathered, and by rank.
fn check_gathered(sent: &Message<'_>, rank: usize, messages: &Messages<'_>) -> Result<()> {
    for (place, message) in messages.each().enumerate() {
        if !message.is_from(place) {
            return Err(broken(format!(
                "at the place of rank {place} are not its bytes"
            )));
        }
    }
    match messages.each().nth(rank) {
        Some(own) if own.bytes() == sent.bytes() => Ok(()),
        _ => Err(broken(format!(
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
    Err(broken(format!(
        "all ranks must call the same passes in the same order, but {}",
        all.join(", ")
    )))
}

fn broken(reason: String) -> Error {
    Error::Transport {
        reason,
        source: None,
    }
}
