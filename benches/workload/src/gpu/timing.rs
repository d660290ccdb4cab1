//! Time on the GPU's own clock: events around a replayed graph of many calls.

use batchnorm::Result;
use batchnorm::cudarc::driver::sys::CUevent_flags;
use batchnorm::cudarc::driver::{CudaEvent, CudaGraph, DriverError};
use cuda_machine::machine::Machine;

/// Replays that are timed; one more comes first and is not.
const REPLAYS: usize = 11;

/// Seconds of one call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

/// Captures `calls` calls, each told its number, and times the graph.
pub(crate) fn time(
    machine: &Machine,
    calls: usize,
    mut call: impl FnMut(usize) -> Result<()>,
) -> Result<Time> {
    let graph = machine.capture(|| (0..calls).try_for_each(&mut call))?;
    replay(machine, &graph, calls).map_err(|error| batchnorm::Error::Driver {
        operation: "replay a graph",
        reason: error.to_string(),
        source: None,
    })
}

/// Seconds of a launch in the stream, waited for: an error of the kernel's is an error here.
pub(crate) fn once(machine: &Machine, call: impl FnOnce() -> Result<()>) -> Result<f64> {
    let failed = |error: DriverError| batchnorm::Error::Driver {
        operation: "time a launch",
        reason: error.to_string(),
        source: None,
    };
    let (start, end) = events(machine).map_err(failed)?;
    start.record(machine.stream()).map_err(failed)?;
    call()?;
    end.record(machine.stream()).map_err(failed)?;
    end.synchronize().map_err(failed)?;
    Ok(f64::from(start.elapsed_ms(&end).map_err(failed)?) / 1e3)
}

fn events(machine: &Machine) -> Result<(CudaEvent, CudaEvent), DriverError> {
    let event = || {
        machine
            .context
            .new_event(Some(CUevent_flags::CU_EVENT_DEFAULT))
    };
    Ok((event()?, event()?))
}

fn replay(machine: &Machine, graph: &CudaGraph, calls: usize) -> Result<Time, DriverError> {
    let (start, end) = events(machine)?;
    graph.upload()?;
    graph.launch()?;
    let mut times = Vec::with_capacity(REPLAYS);
    for _ in 0..REPLAYS {
        start.record(machine.stream())?;
        graph.launch()?;
        end.record(machine.stream())?;
        times.push(f64::from(start.elapsed_ms(&end)?) / 1e3 / calls as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(Time {
        least: times[0],
        median: times[REPLAYS / 2],
        most: times[REPLAYS - 1],
    })
}
