//! What is computed before candle asks for it: where its errors are this crate's, and only handed over in an operation of candle's.

use std::sync::{Mutex, PoisonError};

use candle_core::{Result, Shape, Storage};

use crate::candle::computed::Computed;
use crate::candle::error::wrap;
use crate::error::Error;

/// What was computed, until candle asks for it.
pub(super) struct Once {
    storage: Mutex<Option<Storage>>,
    dims: Vec<usize>,
}

impl Once {
    pub(super) fn of(computed: Computed) -> Self {
        Self {
            storage: Mutex::new(Some(computed.storage)),
            dims: computed.dims,
        }
    }

    /// What was computed, which there is once, and its shape.
    pub(super) fn hand_over(&self) -> Result<(Storage, Shape)> {
        let mut storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        match storage.take() {
            Some(storage) => Ok((storage, Shape::from(self.dims.as_slice()))),
            None => Err(wrap(Error::Value {
                what: "the result of a batch norm",
                found: "one that was handed over before".to_owned(),
                needed: "handed over once",
            })),
        }
    }
}
