//! Memory for what a pass writes.
#![expect(unsafe_code, reason = "it is written by the pass, not filled before")]

use crate::memory::Value;

/// The values that `write` writes, and what it gives.
///
/// # Safety
/// `write` writes every value, and reads none that it has not written.
pub(crate) unsafe fn written_by<T: Value, R>(
    len: usize,
    write: impl FnOnce(&mut [T]) -> R,
) -> (Vec<T>, R) {
    let mut values = Vec::<T>::with_capacity(len);
    // SAFETY: there is room for `len` values, of a type that all bits are a value of (`Pod`), and nobody else has it. The caller
    // promises that no value is read before it is written.
    let unwritten = unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr(), len) };
    let made = write(unwritten);
    // SAFETY: there is room for `len` values, and the caller promises that all of them have been written.
    unsafe { values.set_len(len) };
    (values, made)
}
