//! The manual: what the front page has no room for, a chapter a module. Its code runs as tests.
//!
//! To use the crate, read [`passes`], [`support`] and [`rules`]; [`small_batches`] where batches are small; [`sequences`] where not
//! all of a batch counts, as of sequences of different lengths; [`vocabulary`] for those who come from another library;
//! [`candle`] and [`cuda`] for those who use these; [`memory`] for what a call costs beside its kernels, in debug builds too;
//! [`synchronized`] for a batch that several ranks have together; [`steps`] to build a batch norm of one's own from. [`six_roles`] has
//! what batch norm is known for, measured, [`figures`] how fast and how exact this crate is, [`replay`] how to hold it against a case
//! of one's own, and [`tests`] how it is tested.

#[doc = include_str!("passes.md")]
pub mod passes {}
#[doc = include_str!("support.md")]
pub mod support {}
#[doc = include_str!("rules.md")]
pub mod rules {}
#[doc = include_str!("small_batches.md")]
pub mod small_batches {}
#[doc = include_str!("sequences.md")]
pub mod sequences {}
#[doc = include_str!("vocabulary.md")]
pub mod vocabulary {}
#[doc = include_str!("candle.md")]
pub mod candle {}
#[doc = include_str!("cuda.md")]
pub mod cuda {}
#[doc = include_str!("memory.md")]
pub mod memory {}
#[doc = include_str!("steps.md")]
pub mod steps {}
#[doc = include_str!("synchronized.md")]
pub mod synchronized {}
#[doc = include_str!("six_roles.md")]
pub mod six_roles {}
#[doc = include_str!("figures.md")]
pub mod figures {}
#[doc = include_str!("replay.md")]
pub mod replay {}
#[doc = include_str!("tests.md")]
pub mod tests {}
