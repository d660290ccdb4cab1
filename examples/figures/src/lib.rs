//! What the examples that measure show: charts as SVG and PNG, tables, medians with their quartiles.
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::return_self_not_must_use,
    reason = "of examples, and of nobody else"
)]

pub mod axis;
pub mod figure;
pub mod picture;
pub mod spread;
pub mod table;
