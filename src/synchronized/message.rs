//! What a rank tells the others: a header, and arrays of one number per channel.

use crate::allocate::filled;
use crate::error::{Error, Result};

/// In which call a rank is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Handshake,
    Forward,
    Backward,
}

impl Call {
    fn code(self) -> u64 {
        match self {
            Call::Handshake => 1,
            Call::Forward => 2,
            Call::Backward => 3,
        }
    }

    /// What a rank is doing that says so.
    fn described(code: u64) -> &'static str {
        match code {
            1 => "making a layer",
            2 => "in a forward pass",
            3 => "in a backward pass",
            _ => "in no call of this version's",
        }
    }
}

// Places in the header, in words of 64 bits.
const CALL: usize = 0;
const RANK: usize = 1;
const COUNT: usize = 2;
const HAS_FAILED: usize = 3;
const TEXT_BYTES: usize = 4;
const TEXT: usize = 5;
/// Room for a layer's settings, or for why a rank has failed.
const HEADER_WORDS: usize = 64;
/// Mean, what it rounds away, and squared deviations. A backward pass has less to say in as many words: messages of one length, so
/// that of ranks that are in different passes each learns it.
const ARRAYS: usize = 3;

/// A message, as words of 64 bits.
pub(super) struct Message {
    words: Vec<u64>,
    channels: usize,
}

impl Message {
    /// Of a rank that has nothing to say yet.
    pub(super) fn new(call: Call, rank: usize, channels: usize) -> Result<Self> {
        let mut words = filled(HEADER_WORDS + ARRAYS * channels, 0)?;
        words[CALL] = call.code();
        words[RANK] = rank as u64;
        Ok(Self { words, channels })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.words)
    }

    /// A text, of which as much is said as there is room for.
    pub(super) fn say(&mut self, text: &str) {
        let room: &mut [u8] = bytemuck::cast_slice_mut(&mut self.words[TEXT..HEADER_WORDS]);
        let mut end = text.len().min(room.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        room[..end].copy_from_slice(&text.as_bytes()[..end]);
        self.words[TEXT_BYTES] = end as u64;
    }

    /// That the rank could not do its part.
    pub(super) fn fail(&mut self, error: &Error) {
        self.words[HAS_FAILED] = 1;
        self.say(&error.to_string());
    }

    /// Over how many values per channel the arrays are.
    pub(super) fn set_count(&mut self, count: usize) {
        self.words[COUNT] = count as u64;
    }

    /// One of the arrays, (C,).
    pub(super) fn array_mut(&mut self, index: usize) -> &mut [f64] {
        let start = HEADER_WORDS + index * self.channels;
        bytemuck::cast_slice_mut(&mut self.words[start..start + self.channels])
    }
}

/// The messages of all ranks.
pub(super) struct Messages {
    words: Vec<u64>,
    channels: usize,
}

impl Messages {
    /// Room for those of so many ranks.
    pub(super) fn room(world: usize, channels: usize) -> Result<Self> {
        let words = filled(world * (HEADER_WORDS + ARRAYS * channels), 0)?;
        Ok(Self { words, channels })
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    /// In the order of the ranks.
    pub(super) fn each(&self) -> impl ExactSizeIterator<Item = Received<'_>> {
        let (channels, of_each) = (self.channels, HEADER_WORDS + ARRAYS * self.channels);
        let messages = self.words.chunks_exact(of_each);
        messages.map(move |words| Received { words, channels })
    }
}

/// The message of one rank.
#[derive(Clone, Copy)]
pub(super) struct Received<'a> {
    words: &'a [u64],
    channels: usize,
}

impl<'a> Received<'a> {
    pub(super) fn is_of(self, call: Call) -> bool {
        self.words[CALL] == call.code()
    }

    /// What its rank is doing.
    pub(super) fn call_described(self) -> &'static str {
        Call::described(self.words[CALL])
    }

    pub(super) fn is_from(self, rank: usize) -> bool {
        self.words[RANK] == rank as u64
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        bytemuck::cast_slice(self.words)
    }

    pub(super) fn has_failed(self) -> bool {
        self.words[HAS_FAILED] != 0
    }

    pub(super) fn text(self) -> String {
        let room: &[u8] = bytemuck::cast_slice(&self.words[TEXT..HEADER_WORDS]);
        let len = usize::try_from(self.words[TEXT_BYTES]).unwrap_or(usize::MAX);
        String::from_utf8_lossy(&room[..len.min(room.len())]).into_owned()
    }

    pub(super) fn count(self) -> usize {
        usize::try_from(self.words[COUNT]).unwrap_or(usize::MAX)
    }

    pub(super) fn array(self, index: usize) -> &'a [f64] {
        let start = HEADER_WORDS + index * self.channels;
        bytemuck::cast_slice(&self.words[start..start + self.channels])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let mut messages = Messages::room(2, 3).unwrap();
        let half = messages.bytes_mut().len() / 2;
        for rank in 0..2 {
            let mut message = Message::new(Call::Forward, rank, 3).unwrap();
            message.set_count(rank + 5);
            message
                .array_mut(2)
                .copy_from_slice(&[1.0, f64::NAN, rank as f64]);
            message.say(&"ä".repeat(1000));
            let part = &mut messages.bytes_mut()[rank * half..][..half];
            part.copy_from_slice(message.bytes());
        }
        let last = messages.each().last().unwrap();
        assert!(last.is_of(Call::Forward) && last.is_from(1) && !last.has_failed());
        assert_eq!((last.count(), last.array(2)[2]), (6, 1.0));
        assert_eq!(last.text(), "ä".repeat((HEADER_WORDS - TEXT) * 4));
        assert_eq!(last.call_described(), "in a forward pass");
    }

    #[test]
    fn a_failure_is_told() {
        let mut message = Message::new(Call::Backward, 0, 1).unwrap();
        message.fail(&Error::NoChannels);
        let mut messages = Messages::room(1, 1).unwrap();
        messages.bytes_mut().copy_from_slice(message.bytes());
        let heard = messages.each().next().unwrap();
        assert!(heard.has_failed() && heard.text() == Error::NoChannels.to_string());
    }
}
