//! How figures are written down: tables in Markdown, files of JSON, medians with their quartiles, times with their units.
#![allow(
    clippy::missing_errors_doc,
    reason = "of programs that measure, which end where something fails"
)]

pub mod json;
pub mod markdown;
pub mod spread;
pub mod units;
