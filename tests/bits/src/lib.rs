//! The bits of every pass, held against a table: what is meant to change no result must change no bit of any.
//!
//! `tests/bits/cpu.txt` and `kernels/simt/tests/bits/simt.txt` have one line for each case: its name and a checksum of all that it results in. The table says
//! nothing on whether the results are right, which the other suites see to; it says that they are those of the day on
//! which it was recorded.
//!
//! A change that is meant to change results records them anew, and its author reads in the difference which they are:
//!
//! ```sh
//! BATCHNORM_RECORD_BITS=1 cargo test --release --test bits
//! BATCHNORM_RECORD_BITS=1 cargo test --release -p batchnorm-simt --test bits
//! ```
//!
//! This writes the tables and fails, so that nothing that runs tests can record by accident and go on.

pub mod cases;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod table;
