//! What a rank tells the others: a header, and of each layer that the exchange is for a count and arrays of one number per channel.

use std::fmt::Display;

use crate::allocate::filled;
use crate::error::Result;

/// In which call a rank is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Handshake,
    Forward,
    Backward,
    /// How many values each part has.
    #[cfg_attr(
        not(feature = "__gpu"),
        expect(dead_code, reason = "of passes in a GPU's stream")
    )]
    Split,
}

impl Call {
    fn code(self) -> u64 {
        match self {
            Call::Handshake => 1,
            Call::Forward => 2,
            Call::Backward => 3,
            Call::Split => 4,
        }
    }

    /// What a rank is doing that says so.
    fn described(code: u64) -> &'static str {
        match code {
            1 => "making a layer",
            2 => "in a forward pass",
            3 => "in a backward pass",
            4 => "agreeing on a split",
            _ => "in no call of this version's",
        }
    }
}

// Places in the header, in words of 64 bits.
const CALL: usize = 0;
const RANK: usize = 1;
const HAS_FAILED: usize = 2;
const TEXT_BYTES: usize = 3;
const TEXT: usize = 4;
/// Room for a layer's settings, or for why a rank has failed.
const HEADER_WORDS: usize = 64;

// Places in what is told of a layer.
const CHANNELS: usize = 0;
const COUNT: usize = 1;
const FIRST_ARRAY: usize = 2;
/// Mean, what it rounds away, and squared deviations. A backward pass has less to say in as many words: messages of one length, so
/// that of ranks that are in different passes each learns it.
const ARRAYS: usize = 3;

/// How many words are told of a layer.
fn words_of_layer(channels: usize) -> usize {
    FIRST_ARRAY + ARRAYS * channels
}

/// How many words a message about layers of so many channels has.
fn words_of_message(layers: &[usize]) -> usize {
    HEADER_WORDS + layers.iter().map(|&c| words_of_layer(c)).sum::<usize>()
}

/// Where in a message a layer is.
fn place_of(layers: &[usize], index: usize) -> std::ops::Range<usize> {
    let start = words_of_message(&layers[..index]);
    start..start + words_of_layer(layers[index])
}

/// A message, as words of 64 bits.
pub(crate) struct Message<'c> {
    words: Vec<u64>,
    /// The channels of each layer.
    layers: &'c [usize],
    /// Of which layer something is told.
    current: usize,
}

impl<'c> Message<'c> {
    /// Of a rank that has nothing to say yet.
    pub(crate) fn new(call: Call, rank: usize, layers: &'c [usize]) -> Result<Self> {
        let mut words = filled(words_of_message(layers), 0)?;
        words[CALL] = call.code();
        words[RANK] = rank as u64;
        for (index, &channels) in layers.iter().enumerate() {
            words[place_of(layers, index)][CHANNELS] = channels as u64;
        }
        let current = 0;
        Ok(Self {
            words,
            layers,
            current,
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// A text, of which as much is said as there is room for.
    pub(crate) fn say(&mut self, text: &str) {
        let room: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words[TEXT..HEADER_WORDS]);
        let mut end = text.len().min(room.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        room[..end].copy_from_slice(&text.as_bytes()[..end]);
        self.words[TEXT_BYTES] = end as u64;
    }

    /// That the rank could not do its part, and with which of several layers.
    pub(crate) fn fail(&mut self, error: &impl Display) {
        self.words[HAS_FAILED] = 1;
        match self.layers.len() {
            0 | 1 => self.say(&error.to_string()),
            layers => self.say(&format!("layer {} of {layers}: {error}", self.current + 1)),
        }
    }

    /// Where a layer is told of, from now on.
    pub(crate) fn layer(&mut self, index: usize) -> OfLayer<'_> {
        self.current = index;
        OfLayer {
            words: &mut self.words[place_of(self.layers, index)],
            channels: self.layers[index],
        }
    }
}

/// What a rank tells of a layer.
pub(crate) struct OfLayer<'a> {
    words: &'a mut [u64],
    channels: usize,
}

impl OfLayer<'_> {
    /// Over how many values per channel the arrays are.
    pub(crate) fn set_count(&mut self, count: usize) {
        self.words[COUNT] = count as u64;
    }

    /// One of the arrays, (C,).
    pub(crate) fn array_mut(&mut self, index: usize) -> &mut [f64] {
        let start = FIRST_ARRAY + index * self.channels;
        bytemuck::cast_slice_mut(&mut self.words[start..start + self.channels])
    }
}

/// The messages of all ranks.
pub(crate) struct Messages<'c> {
    words: Vec<u64>,
    layers: &'c [usize],
}

impl<'c> Messages<'c> {
    /// Room for those of so many ranks, about layers of so many channels.
    pub(crate) fn room(world: usize, layers: &'c [usize]) -> Result<Self> {
        let words = filled(world.saturating_mul(words_of_message(layers)), 0)?;
        Ok(Self { words, layers })
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    /// In the order of the ranks.
    pub(crate) fn each(&self) -> impl ExactSizeIterator<Item = Received<'_>> {
        let layers = self.layers;
        let messages = self.words.chunks_exact(words_of_message(layers));
        messages.map(move |words| Received { words, layers })
    }

    /// What each rank tells of a layer.
    pub(crate) fn of_layer(
        &self,
        index: usize,
    ) -> impl ExactSizeIterator<Item = ReceivedLayer<'_>> {
        let place = place_of(self.layers, index);
        let channels = self.layers[index];
        self.each().map(move |message| ReceivedLayer {
            words: &message.words[place.clone()],
            channels,
        })
    }
}

/// The message of one rank.
#[derive(Clone, Copy)]
pub(crate) struct Received<'a> {
    words: &'a [u64],
    layers: &'a [usize],
}

impl<'a> Received<'a> {
    /// Whether its rank is in this call, of layers of the same channels.
    pub(crate) fn is_of(self, call: Call) -> bool {
        let channels = |index: usize| self.words[place_of(self.layers, index)][CHANNELS];
        self.words[CALL] == call.code()
            && (self.layers.iter().enumerate()).all(|(index, &c)| channels(index) == c as u64)
    }

    /// What its rank is doing.
    pub(crate) fn call_described(self) -> String {
        let call = Call::described(self.words[CALL]);
        // Where the first layer has other channels, there is no telling where the next one is.
        match self.layers {
            [] | [_] => call.to_owned(),
            [..] => format!(
                "{call} of layers of which the first has {} channels",
                self.words[HEADER_WORDS + CHANNELS]
            ),
        }
    }

    pub(crate) fn is_from(self, rank: usize) -> bool {
        self.words[RANK] == rank as u64
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        bytemuck::cast_slice(self.words)
    }

    pub(crate) fn has_failed(self) -> bool {
        self.words[HAS_FAILED] != 0
    }

    pub(crate) fn text(self) -> String {
        let room: &[u8] = bytemuck::cast_slice(&self.words[TEXT..HEADER_WORDS]);
        let len = usize::try_from(self.words[TEXT_BYTES]).unwrap_or(usize::MAX);
        String::from_utf8_lossy(&room[..len.min(room.len())]).into_owned()
    }
}

/// What one rank tells of a layer.
#[derive(Clone, Copy)]
pub(crate) struct ReceivedLayer<'a> {
    words: &'a [u64],
    channels: usize,
}

impl<'a> ReceivedLayer<'a> {
    pub(crate) fn count(self) -> usize {
        usize::try_from(self.words[COUNT]).unwrap_or(usize::MAX)
    }

    pub(crate) fn array(self, index: usize) -> &'a [f64] {
        let start = FIRST_ARRAY + index * self.channels;
        bytemuck::cast_slice(&self.words[start..start + self.channels])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_is_said_is_heard() {
        let layers = [2, 3];
        let mut messages = Messages::room(2, &layers).unwrap();
        let half = messages.bytes_mut().len() / 2;
        for rank in 0..2 {
            let mut message = Message::new(Call::Forward, rank, &layers).unwrap();
            for index in 0..2 {
                let mut layer = message.layer(index);
                layer.set_count(rank + 5 + index);
                layer.array_mut(2)[..2].copy_from_slice(&[f64::NAN, (rank + index) as f64]);
            }
            message.say(&"ä".repeat(1000));
            let part = &mut messages.bytes_mut()[rank * half..][..half];
            part.copy_from_slice(message.bytes());
        }
        let last = messages.each().last().unwrap();
        assert!(last.is_of(Call::Forward) && last.is_from(1) && !last.has_failed());
        assert_eq!(last.text(), "ä".repeat((HEADER_WORDS - TEXT) * 4));
        assert!(last.call_described().starts_with("in a forward pass"));
        for index in 0..2 {
            let last = messages.of_layer(index).last().unwrap();
            assert_eq!((last.count(), last.array(2).len()), (6 + index, 2 + index));
            assert_eq!(last.array(2)[1], (1 + index) as f64);
        }
    }

    #[test]
    fn a_failure_is_told() {
        let mut message = Message::new(Call::Backward, 0, &[1]).unwrap();
        message.fail(&Error::NoChannels);
        let mut messages = Messages::room(1, &[1]).unwrap();
        messages.bytes_mut().copy_from_slice(message.bytes());
        let heard = messages.each().next().unwrap();
        assert!(heard.has_failed() && heard.text() == Error::NoChannels.to_string());
    }

    #[test]
    fn layers_in_another_order_are_noticed() {
        let mut messages = Messages::room(1, &[2, 3]).unwrap();
        let message = Message::new(Call::Forward, 0, &[3, 2]).unwrap();
        messages.bytes_mut().copy_from_slice(message.bytes());
        assert!(!messages.each().next().unwrap().is_of(Call::Forward));
    }
}
