//! What there is beside memory: streams and what is captured in them, graphs, events and functions, each by a number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use batchnorm::cudarc::driver::sys::CUresult;
use batchnorm_simt::HostKernel;

use crate::device;
use crate::plain_kernels::{self, PlainKernel};
use crate::work::Work;

/// A function of a module.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Function {
    Library(HostKernel),
    Plain(&'static PlainKernel),
}

#[derive(Debug, Default)]
pub(crate) struct State {
    last_handle: usize,
    /// What was put into streams that are being captured.
    captured: HashMap<usize, Vec<Work>>,
    graphs: HashMap<usize, Arc<Vec<Work>>>,
    events: HashMap<usize, Instant>,
    functions: HashMap<usize, Function>,
}

pub(crate) fn state() -> MutexGuard<'static, State> {
    static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts work into a stream: done at once, or captured.
pub(crate) fn put(stream: usize, work: Work) -> Result<(), CUresult> {
    if let Some(captured) = state().captured.get_mut(&stream) {
        captured.push(work);
        return Ok(());
    }
    work.run()
}

/// Waits for a stream, which has nothing to wait for unless it is being captured.
pub(crate) fn synchronize(stream: usize) -> Result<(), CUresult> {
    if state().captured.contains_key(&stream) {
        return Err(CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    // The error of a kernel stays with its context.
    if GRAPH_LAUNCHES.load(Ordering::Relaxed) >= device::faulting_graph_launch() {
        return Err(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    Ok(())
}

/// Of this process.
static GRAPH_LAUNCHES: AtomicUsize = AtomicUsize::new(0);

/// All that was captured, in order.
pub(crate) fn launch_graph(graph: usize) -> Result<(), CUresult> {
    let number = 1 + GRAPH_LAUNCHES.fetch_add(1, Ordering::Relaxed);
    if number >= device::faulting_graph_launch() {
        return Err(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    }
    while number == device::hanging_graph_launch() {
        thread::park();
    }
    let works = state().graphs.get(&graph).cloned();
    let works = works.ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?;
    works.iter().try_for_each(Work::run)
}

impl State {
    /// A number that nothing else has.
    pub(crate) fn handle(&mut self) -> usize {
        self.last_handle += 1;
        self.last_handle
    }

    pub(crate) fn begin_capture(&mut self, stream: usize) -> Result<(), CUresult> {
        if self.captured.insert(stream, Vec::new()).is_some() {
            return Err(CUresult::CUDA_ERROR_ILLEGAL_STATE);
        }
        Ok(())
    }

    /// The graph of what was captured.
    pub(crate) fn end_capture(&mut self, stream: usize) -> Result<usize, CUresult> {
        let works = self.captured.remove(&stream);
        let works = works.ok_or(CUresult::CUDA_ERROR_ILLEGAL_STATE)?;
        let graph = self.handle();
        self.graphs.insert(graph, Arc::new(works));
        Ok(graph)
    }

    pub(crate) fn is_captured(&self, stream: usize) -> bool {
        self.captured.contains_key(&stream)
    }

    /// The same graph under another number, as one that can be launched.
    pub(crate) fn instantiate(&mut self, graph: usize) -> Result<usize, CUresult> {
        let works = self.graphs.get(&graph).cloned();
        let works = works.ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?;
        let executable = self.handle();
        self.graphs.insert(executable, works);
        Ok(executable)
    }

    pub(crate) fn forget_graph(&mut self, graph: usize) -> Result<(), CUresult> {
        let forgotten = self.graphs.remove(&graph).map(drop);
        forgotten.ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)
    }

    pub(crate) fn record(&mut self, event: usize) {
        self.events.insert(event, Instant::now());
    }

    /// Milliseconds between two events, as the processor's clock has them.
    pub(crate) fn elapsed(&self, start: usize, end: usize) -> Result<f32, CUresult> {
        match (self.events.get(&start), self.events.get(&end)) {
            (Some(start), Some(end)) => Ok(end.duration_since(*start).as_secs_f32() * 1e3),
            _ => Err(CUresult::CUDA_ERROR_INVALID_HANDLE),
        }
    }

    /// The function of a name, which is asked for in the only module that there is.
    pub(crate) fn function(&mut self, name: &str) -> Result<usize, CUresult> {
        let kernels = batchnorm_simt::kernels();
        let of_library = kernels.into_iter().find(|kernel| kernel.name == name);
        let function = of_library
            .map(Function::Library)
            .or_else(|| plain_kernels::find(name).map(Function::Plain))
            .ok_or(CUresult::CUDA_ERROR_NOT_FOUND)?;
        let handle = self.handle();
        self.functions.insert(handle, function);
        Ok(handle)
    }

    pub(crate) fn of_handle(&self, function: usize) -> Result<Function, CUresult> {
        let found = self.functions.get(&function).copied();
        found.ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)
    }
}
