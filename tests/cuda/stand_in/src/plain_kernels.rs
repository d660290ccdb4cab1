//! The benchmark's own kernels (`benches/workload/src/gpu/*.cu`), which are no part of the library and not known to the SIMT host.

use std::hint;
use std::time::{Duration, Instant};

use batchnorm::cudarc::driver::sys::CUresult;

use crate::memory;

const PACKET_BYTES: u64 = 16;

/// One of them: its name, the bytes of each of its parameters, and what it does with them.
#[derive(Debug)]
pub(crate) struct PlainKernel {
    pub(crate) name: &'static str,
    pub(crate) parameters: &'static [usize],
    pub(crate) run: fn(&[u64]) -> Result<(), CUresult>,
}

/// That of a name.
pub(crate) fn find(name: &str) -> Option<&'static PlainKernel> {
    KERNELS.iter().find(|kernel| kernel.name == name)
}

static KERNELS: [PlainKernel; 9] = [
    PlainKernel {
        name: "empty",
        parameters: &[],
        run: nothing,
    },
    PlainKernel {
        name: "read_packets",
        parameters: &[8, 8, 8],
        run: nothing,
    },
    PlainKernel {
        name: "write_packets",
        parameters: &[8, 8],
        run: write_packets,
    },
    PlainKernel {
        name: "copy_packets",
        parameters: &[8, 8, 8],
        run: copy_packets,
    },
    PlainKernel {
        name: "count_words",
        parameters: &[8, 8, 4, 8],
        run: count_words,
    },
    PlainKernel {
        name: "grid_barriers",
        parameters: &[8, 4],
        run: |parameters| wait(parameters, 1, 1000),
    },
    PlainKernel {
        name: "cluster_barriers",
        parameters: &[4],
        run: |parameters| wait(parameters, 0, 200),
    },
    PlainKernel {
        name: "follow_lines",
        parameters: &[8, 4, 4, 8],
        run: |parameters| wait(parameters, 2, 100),
    },
    PlainKernel {
        name: "wait_clocks",
        parameters: &[8],
        run: |parameters| wait(parameters, 0, 1),
    },
];

#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn nothing(_: &[u64]) -> Result<(), CUresult> {
    Ok(())
}

/// Waits as long as a GPU might: so many nanoseconds for each of a count, which is the parameter of this place.
fn wait(parameters: &[u64], place: usize, nanoseconds: u64) -> Result<(), CUresult> {
    let count = parameters.get(place);
    let count = count.ok_or(CUresult::CUDA_ERROR_INVALID_VALUE)?;
    let end = Instant::now() + Duration::from_nanos(count * nanoseconds);
    while Instant::now() < end {
        hint::spin_loop();
    }
    Ok(())
}

fn bytes(count: u64, each: u64) -> usize {
    usize::try_from(count * each).unwrap_or(usize::MAX)
}

fn write_packets(parameters: &[u64]) -> Result<(), CUresult> {
    let [to, packets] = parameters else {
        return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
    };
    memory::with_bytes(*to, bytes(*packets, PACKET_BYTES), |bytes| bytes.fill(1))
}

fn copy_packets(parameters: &[u64]) -> Result<(), CUresult> {
    let [from, to, packets] = parameters else {
        return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
    };
    memory::copy(*from, *to, bytes(*packets, PACKET_BYTES))
}

/// Adds to a counter how many 32-bit words of an array are the one that is looked for.
fn count_words(parameters: &[u64]) -> Result<(), CUresult> {
    let [array, words, wanted, counter] = parameters else {
        return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
    };
    let mut found = 0u64;
    memory::with_bytes(*array, bytes(*words, 4), |bytes| {
        let words = bytes.as_chunks::<4>().0.iter();
        let equal = words.filter(|word| u64::from(u32::from_ne_bytes(**word)) == *wanted);
        found = equal.count() as u64;
    })?;
    memory::with_bytes(*counter, 8, |bytes| {
        let before = bytes.as_chunks::<8>().0[0];
        bytes.copy_from_slice(&(u64::from_ne_bytes(before) + found).to_ne_bytes());
    })
}
