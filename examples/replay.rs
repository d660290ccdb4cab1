//! Replays batch normalization that another framework recorded:
//! `cargo run --release --example replay -- IN OUT [--device cpu|cuda] [--threads N]`. On the GPU's kernels, run by the
//! processor: `cargo run --release -p batchnorm-simt -- IN OUT --device simt`.
//!
//! IN is a safetensors file, or a folder of them; OUT is the file, or the folder, for the results.
//! A case holds `x`, its dimensions in memory order: (N, C, ...) or (N, ..., C), 2 or more of them, of F32, F64, F16 or
//! BF16; and, as needed, `weight`, `bias`, `running_mean`, `running_var` (C values each; absent: off), `dy` and
//! `residual` (like x). Its metadata, all strings; a key left out takes the first value here:
//!
//! | key | values |
//! |---|---|
//! | `pass` | `training`, `inference`, `frozen` (inference's statistics, with gradients) |
//! | `layout` | `channels_first`, `channels_last` |
//! | `epsilon` | `1e-5`, or another number |
//! | `momentum` | `0.1`, or another number (the weight of the new batch), or `cumulative` |
//! | `num_batches_tracked` | `0`, or another whole number |
//! | `activation` | `none`, `relu`, `relu6`, `leaky_relu`, `elu`, `hardswish`, `sigmoid`, `tanh`, `silu`, `gelu`, `gelu_tanh` |
//! | `negative_slope` | `0.01`, or another number (of `leaky_relu`) |
//! | `alpha` | `1.0`, or another number (of `elu`) |
//!
//! The result holds `y`, `save_mean` and `save_invstd`; `running_mean`, `running_var` and `num_batches_tracked` if there
//! are running statistics; and with `dy` also `dx`, `dresidual`, `dweight`, `dbias`.
//!
//! A case that is refused puts one line on standard error, writes nothing, and makes the exit status 2; the others go on.

use std::process::ExitCode;

use batchnorm::{Device, Error};

fn main() -> ExitCode {
    replay_cases::run_program(no_simt)
}

fn no_simt() -> batchnorm::Result<Device> {
    Err(Error::DeviceUnavailable {
        device: "simt".to_owned(),
        reason: "this build has no SIMT host: cargo run -p batchnorm-simt has".to_owned(),
    })
}
