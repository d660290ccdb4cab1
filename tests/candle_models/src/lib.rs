//! The models of candle-transformers that have batch norms, compiled with this crate's layer.
//!
//! The files are candle-transformers' own, as they are. They import from `candle_nn`, and here that is this package: all of the
//! real one, but for batch norm.

extern crate self as candle_nn;

pub use batchnorm::candle::{batch_norm, BatchNorm, BatchNormConfig};
pub use candles_own_nn::*;

/// Each model by the name that it has in `candle_transformers::models`.
#[allow(warnings, clippy::all, reason = "they are as they are")]
pub mod models {
    include!(concat!(env!("OUT_DIR"), "/models.rs"));
}
