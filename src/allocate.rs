//! Memory asked of the system: what there is no room for is an error, where `vec!` and `collect` end the program.

use bytemuck::Zeroable;
use bytemuck::allocation::try_zeroed_vec;

use crate::error::{Error, Result};

/// An empty vector with room for so many values.
pub(crate) fn reserved<T>(len: usize) -> Result<Vec<T>> {
    let mut buffer = Vec::new();
    reserve(&mut buffer, len)?;
    Ok(buffer)
}

/// Room for so many more values.
pub(crate) fn reserve<T>(buffer: &mut Vec<T>, len: usize) -> Result<()> {
    buffer
        .try_reserve_exact(len)
        .map_err(|_| Error::OutOfMemory {
            bytes: len.saturating_mul(size_of::<T>()),
        })
}

/// So many of a value.
pub(crate) fn filled<T: Clone>(len: usize, value: T) -> Result<Vec<T>> {
    let mut buffer = reserved(len)?;
    buffer.resize(len, value);
    Ok(buffer)
}

/// So many zeros: those of the system's where it has zeroed the memory, which are not written again.
pub(crate) fn zeroed<T: Zeroable>(len: usize) -> Result<Vec<T>> {
    try_zeroed_vec(len).map_err(|()| Error::OutOfMemory {
        bytes: len.saturating_mul(size_of::<T>()),
    })
}

/// What an iterator of known length gives.
pub(crate) fn collected<T>(values: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>> {
    let mut buffer = reserved(values.len())?;
    buffer.extend(values);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_an_error() {
        for len in [1u64 << 59, 1 << 61, u64::MAX] {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let bytes = len.saturating_mul(8);
            assert_eq!(filled(len, 0.0f64), Err(Error::OutOfMemory { bytes }));
            assert_eq!(zeroed::<f64>(len), Err(Error::OutOfMemory { bytes }));
            assert_eq!(
                collected(std::iter::repeat_n(0.0f64, len)),
                Err(Error::OutOfMemory { bytes })
            );
        }
        assert_eq!(zeroed(2), Ok(vec![0.0f64; 2]));
        assert_eq!(collected([1, 2].into_iter().map(|x| x + 1)), Ok(vec![2, 3]));
    }
}
