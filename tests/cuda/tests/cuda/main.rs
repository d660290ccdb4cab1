//! On a GPU: the contract suite, the bits that the kernels have on the processor, and what only a GPU can show: graphs, streams
//! beside each other, ranks that NCCL connects (feature `nccl`), and arrays of more than 2³¹ values. Without one each test says that it was skipped.

mod bits;
mod contract;
mod graph;
mod large;
#[cfg(feature = "nccl")]
mod nccl;
mod outputs;
mod ranks;
mod streams;

use std::io::Write;
use std::sync::OnceLock;

use batchnorm::{Cuda, Error};
use cuda_machine::machine::Machine;

/// GPU 0, which checks share that need no stream of their own, or the word that there is none.
fn gpu(check: &str) -> Option<Cuda> {
    static GPU: OnceLock<Result<Cuda, Error>> = OnceLock::new();
    let gpu = GPU.get_or_init(|| Cuda::new(0)).as_ref();
    gpu.map_err(|error| skipped(check, &error.to_string()))
        .ok()
        .cloned()
}

/// GPU 0 with a stream of its own, or the word that there is none.
fn machine(check: &str) -> Option<Machine> {
    let machine = Machine::open();
    machine
        .map_err(|error| skipped(check, &error.to_string()))
        .ok()
}

/// Whether the GPU has room for arrays of so many bytes, or the word that it has not.
fn has_room(machine: &Machine, needed: usize, check: &str) -> bool {
    let (free, _) = machine
        .context
        .mem_get_info()
        .expect("the context is there");
    if free < needed {
        let why = format!("it needs {needed} bytes of GPU memory, {free} are free");
        skipped(check, &why);
    }
    free >= needed
}

/// Written past the test harness, which keeps what a passing test prints to itself.
fn skipped(check: &str, why: &str) {
    writeln!(std::io::stderr(), "skipped {check}: {why}").expect("standard error");
}
