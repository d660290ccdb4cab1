//! What ranks tell each other when a layer is made: messages of layers that differ could not be told apart later.

use crate::config::BatchNormConfig;
use crate::error::{Error, Result};
use crate::synchronized::exchange::{check_world, exchange};
use crate::synchronized::message::{Call, Received};
use crate::synchronized::transport::Transport;

/// That all ranks make the same layer, with as many ranks and of the same version of this crate; `described` says all else of the
/// layer that must be the same.
///
/// # Errors
/// [`Error::RanksDiffer`], [`Error::RankFailed`] where one has ghost batches, [`Error::Transport`].
pub(crate) fn shake_hands(
    ranks: &impl Transport,
    config: &BatchNormConfig,
    described: &str,
) -> Result<()> {
    check_world(ranks)?;
    let endian = if cfg!(target_endian = "big") {
        "big"
    } else {
        "little"
    };
    let settings = format!(
        "{described}, {} ranks, batchnorm {} ({endian}-endian)",
        ranks.world(),
        env!("CARGO_PKG_VERSION")
    );
    let ((), messages) = exchange(ranks, Call::Handshake, &[], |message| {
        message.say(&settings);
        match config.ghost_batch_size() {
            None => Ok(()),
            Some(samples) => Err(Error::Value {
                what: "the ghost batch of a synchronized layer",
                found: format!("{samples} samples"),
                needed: "none: the batch is that of all ranks",
            }),
        }
    })?;
    let mut each = messages.each().map(Received::text).enumerate();
    let first = each.next().map_or(String::new(), |(_, settings)| settings);
    match each.find(|(_, settings)| *settings != first) {
        None => Ok(()),
        Some((rank, found)) => Err(Error::RanksDiffer {
            rank,
            found,
            needed: first,
        }),
    }
}
