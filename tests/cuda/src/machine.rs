//! GPU 0 with a stream of its own, ready to be captured: for the tests here and for the benchmark on GPUs.
#![expect(
    unsafe_code,
    reason = "cudarc's tracking is switched off by an unsafe function"
)]

use std::sync::Arc;

use batchnorm::cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use batchnorm::cudarc::driver::{CudaContext, CudaGraph, CudaStream, DriverError};
use batchnorm::{Cuda, Result};

/// A GPU, and the context that more streams can be made in.
#[derive(Debug)]
pub struct Machine {
    pub gpu: Cuda,
    pub context: Arc<CudaContext>,
}

impl Machine {
    /// GPU 0 with all kernels loaded.
    pub fn open() -> Result<Self> {
        // Which is where everything that can be missing is told apart.
        let gpu = Cuda::new(0)?;
        let context = gpu.stream().context().clone();
        // SAFETY: each test and benchmark uses an array in one stream only, and waits before it frees any.
        unsafe { context.disable_event_tracking() };
        let gpu = Cuda::on_stream(context.new_stream().expect("a stream"))?;
        gpu.load_kernels()?;
        Ok(Self { gpu, context })
    }

    pub fn stream(&self) -> &Arc<CudaStream> {
        self.gpu.stream()
    }

    /// What `work` puts into the stream, as a graph; it is not run.
    pub fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<CudaGraph> {
        let failed = |error: DriverError| batchnorm::Error::Driver {
            operation: "capture a graph",
            reason: error.to_string(),
            source: None,
        };
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream().begin_capture(mode).map_err(failed)?;
        let worked = work();
        let graph = self.stream().end_capture(CUgraphInstantiate_flags(0));
        worked?;
        Ok(graph.map_err(failed)?.expect("work was captured"))
    }
}
