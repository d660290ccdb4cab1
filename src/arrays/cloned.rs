//! `Clone` for what may find no room.

use crate::error::Result;

/// A copy that cannot say that there is no room for it, for `Clone`.
pub(crate) fn cloned<T>(copy: Result<T>) -> T {
    copy.unwrap_or_else(|error| {
        panic!("cannot be cloned (try_clone gives this as an error): {error}")
    })
}
