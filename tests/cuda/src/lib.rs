//! GPU 0, and the arrays of a layer on it: for the tests of this package and for benchmarks.
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "of tests and benchmarks, which end where something fails"
)]

pub mod arrays;
pub mod machine;
