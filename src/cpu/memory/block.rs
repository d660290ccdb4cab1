//! A piece of the processor's memory of any use: whose it is, and its bytes, which are initialized from the first on.

use memmap2::MmapMut;

use crate::allocate::zeroed;
use crate::cpu::memory::huge_pages::{HUGE_PAGE_BYTES, MIN_HUGE_BYTES, ask_for_huge_pages};
use crate::error::{Error, Result};

/// From here on memory is asked of the system itself, which has zeroed its pages when they are first touched, by whichever
/// thread touches them: nothing is filled, and what is given back is the system's at once.
const MIN_MAPPED_BYTES: usize = 1 << 20;

/// Memory that has values from the first on: zeros, or what was written last.
#[derive(Debug)]
pub(super) enum Block {
    /// The allocator's, aligned for every type of values.
    Allocated(Vec<u128>),
    /// Pages of the system's.
    Mapped(MmapMut),
}

impl Block {
    /// New memory of zeros, of at least so many bytes.
    pub(super) fn new(bytes: usize) -> Result<Self> {
        if bytes >= MIN_MAPPED_BYTES
            && let Some(mapped) = map(bytes)?
        {
            return Ok(Self::Mapped(mapped));
        }
        zeroed(bytes.div_ceil(size_of::<u128>()))
            .map(Self::Allocated)
            .map_err(|_| Error::OutOfMemory { bytes })
    }

    /// Of no bytes.
    pub(super) const fn empty() -> Self {
        Self::Allocated(Vec::new())
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// For reading.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Allocated(words) => bytemuck::cast_slice(words),
            Self::Mapped(pages) => pages,
        }
    }

    /// For writing.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Allocated(words) => bytemuck::cast_slice_mut(words),
            Self::Mapped(pages) => pages,
        }
    }
}

/// Pages of the system's, or none where it has no such thing.
fn map(bytes: usize) -> Result<Option<MmapMut>> {
    // Whole huge pages, for Linux aligns only what is of whole ones.
    let rounded = if bytes >= MIN_HUGE_BYTES {
        bytes.checked_next_multiple_of(HUGE_PAGE_BYTES)
    } else {
        Some(bytes)
    };
    let Some(rounded) = rounded.filter(|&bytes| isize::try_from(bytes).is_ok()) else {
        return Err(Error::OutOfMemory { bytes });
    };
    match MmapMut::map_anon(rounded) {
        Ok(pages) => {
            ask_for_huge_pages(pages.as_ptr(), pages.len());
            Ok(Some(pages))
        }
        Err(error) if error.kind() == std::io::ErrorKind::OutOfMemory => {
            Err(Error::OutOfMemory { bytes })
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_memory_is_zeros_and_can_be_written() {
        for bytes in [0, 1, 17, MIN_MAPPED_BYTES, MIN_HUGE_BYTES + 1] {
            let mut block = Block::new(bytes).unwrap();
            assert!(block.len() >= bytes && block.len() < bytes + HUGE_PAGE_BYTES);
            assert_eq!(block.bytes().as_ptr().align_offset(align_of::<f64>()), 0);
            assert!(block.bytes().iter().all(|&byte| byte == 0));
            block.bytes_mut().fill(0xff);
            assert!(block.bytes().iter().all(|&byte| byte == 0xff));
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_an_error() {
        let enormous = usize::try_from(1u64 << 60).unwrap_or(usize::MAX);
        for bytes in [enormous, usize::MAX - 3, usize::MAX] {
            let found = Block::new(bytes).map(drop);
            assert_eq!(found, Err(Error::OutOfMemory { bytes }));
        }
    }
}
