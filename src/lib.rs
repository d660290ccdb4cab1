#![doc = include_str!("../README.md")]
//!
//! # Where to read on
//!
//! [`BatchNorm`] is the layer, [`BatchNormConfig`] what it is made from, [`Device`] where it runs, [`backend`] the steps for memory of
//! one's own; the [`manual`] has everything else.
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `avx2`, `avx512` | yes | the SIMD levels of x86-64, taken where the processor has them; without them the portable one runs. NEON is a part of aarch64 and has no feature; WebAssembly's SIMD is taken where the build has the target feature `simd128` (`RUSTFLAGS="-C target-feature=+simd128"`) |
//! | `ndarray` | yes | arrays and views of `ndarray` as what passes read and write ([`Data`]), [`Layout::axes_of`], and conversions to and from [`Tensor`] |
//! | `safetensors` | yes | [`checkpoint`]: layers to and from safetensors files |
//! | `serde` | no | [`BatchNormConfig`] and its parts in serde's formats |
//! | `tracing` | no | a `tracing` event (target `batchnorm`, level `DEBUG`) for each pass or step on the processor, with its shape and how it is cut into tiles, and for each launch on a GPU, with the plan that was chosen |
//! | `cuda` | no | NVIDIA GPUs (`Cuda`), with kernels that are shipped as PTX: the build needs no toolkit, running it only the driver |
//! | `nccl` | no | `cuda`, and ranks of a [`SyncBatchNorm`] that have a GPU each, connected by NCCL (`NcclRank`), which is found when the program runs |
//! | `candle` | no | `batchnorm::candle`: the layer as a module of candle |
//! | `candle-cuda` | no | both, on candle's CUDA device; candle itself then needs nvcc to build |
//!
//! With `cuda`, these environment variables decide about the build: `NVCC`, `CUDA_HOME`, `CUDA_PATH` and `PATH` lead to nvcc,
//! which compiles the kernels where it is found; `BATCHNORM_SHIPPED_KERNELS=1` takes those that are shipped even then;
//! `BATCHNORM_REQUIRE_NVCC=1` fails without nvcc; `BATCHNORM_CUDA_ARCHITECTURES=75,80,90` lists what nvcc compiles for,
//! `BATCHNORM_CUDA_CUBINS=90` which GPUs get machine code beside it, and `NVCC_CCBIN` names its host compiler. (nvcc in
//! `/usr/local/cuda` is found without any of them.)
#![warn(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod allocate;
mod arrays;
pub mod backend;
#[cfg(feature = "candle")]
pub mod candle;
#[cfg(feature = "safetensors")]
pub mod checkpoint;
mod config;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod double_double;
mod element;
mod error;
mod exponential;
mod finalized_channel;
mod floating_point_mode;
#[cfg(feature = "__gpu")]
pub mod gpu;
mod interop;
mod layer;
mod logarithm;
mod logistic;
pub mod manual;
mod narrowed;
mod normal_distribution;
mod numeric;
mod shape;
mod statistics;
mod synchronized;

pub use arrays::channel_array::ChannelArray;
pub use arrays::masked::Masked;
pub use arrays::tensor::Tensor;
pub use arrays::view::{Data, DataMut, View, ViewMut};
pub use backend::activation::Activation;
pub use backend::kept::Kept;
pub use config::BatchNormConfig;
pub use config::adaptation::Adaptation;
pub use config::averaging::{Averaging, RunningVariance};
pub use config::quantization::Quantization;
pub use config::renormalization::{Renormalization, RenormalizationSchedule};
pub use cpu::memory::buffer::CpuBuffer;
pub use cpu::simd::dispatch::Level;
pub use cpu::{Cpu, CpuMask};
#[cfg(feature = "cuda")]
pub use cuda::Cuda;
#[cfg(feature = "cuda")]
pub use cudarc;
pub use device::explain::BestDevice;
pub use device::{Device, DeviceBuffer, DeviceMask, DeviceSlice, DeviceSliceMut};
pub use element::{Compute, DType, Element};
pub use error::cause::Cause;
pub use error::{Error, Result};
pub use interop::conversion::{FlaxParameters, KerasParameters, OnnxParameters};
pub use interop::fold::{Folded, ScaleAndShift};
pub use interop::fold_batch::FoldedBatch;
pub use layer::BatchNorm;
pub use layer::checkpointed::CheckpointedPass;
pub use layer::double_backward::SecondGradients;
pub use layer::gradients::{Gradients, ParameterGradients};
pub use layer::output_pass::OutputPass;
pub use layer::part_pass::PartPass;
pub use layer::pass::Pass;
pub use layer::split::{SampleGroup, SplitBatchNorm};
pub use layer::split_pass::{SplitGradients, SplitParameterGradients, SplitPass};
#[cfg(feature = "safetensors")]
pub use safetensors;
pub use shape::{Layout, Shape};
pub use statistics::batch::BatchStatistics;
pub use statistics::gradients::PooledGradients;
pub use statistics::pooled::PooledStatistics;
pub use statistics::running::RunningStatistics;
pub use synchronized::SyncBatchNorm;
#[cfg(feature = "__gpu")]
pub use synchronized::in_stream::{pass::StreamPass, split::Split, transport::StreamTransport};
#[cfg(feature = "nccl")]
pub use synchronized::nccl::{NcclId, NcclRank};
pub use synchronized::pass::SyncPass;
pub use synchronized::threads::ThreadRank;
pub use synchronized::together::LayerInput;
pub use synchronized::transport::Transport;
