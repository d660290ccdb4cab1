//! Handwritten digits, and an order to see them in that is the same in every run: for the examples that train on them.
#![allow(
    clippy::len_without_is_empty,
    clippy::missing_errors_doc,
    clippy::return_self_not_must_use,
    reason = "of examples, and of nobody else"
)]

pub mod digits;
pub mod random;
