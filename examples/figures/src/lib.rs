//! What the examples that measure draw: charts as SVG and PNG.
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "of examples, and of nobody else"
)]

pub mod axis;
pub mod figure;
pub mod picture;
