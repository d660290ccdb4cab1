//! What benchmarks measure (shapes, arrays, passes), and what they hold it against: the time it takes only to move the
//! bytes.
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "of benchmarks, which end where something fails"
)]

#[cfg(feature = "cuda")]
pub mod gpu;
pub mod limit;
pub mod passes;
pub mod problem;
pub mod processor;
pub mod ranks;
pub mod shapes;
mod stream;
pub mod table;
