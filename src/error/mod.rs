//! What can go wrong, in one enum: each message says what was found and what was needed.

pub(crate) mod brief;
pub(crate) mod cause;

use crate::error::brief::brief;
use crate::error::cause::Cause;

/// `std::result::Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation was refused. After an error nothing has changed: no output was written, no statistic followed.
/// (One exception: where the memory for sums runs out in the middle of a pass, its outputs may have been begun.)
///
/// Each message is whole by itself. Where another library or the system failed, `source()` is that library's own error:
///
/// ```
/// use std::error::Error as _;
/// let error = batchnorm::checkpoint::read_file("no such file").unwrap_err();
/// let cause = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
/// assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
/// ```
///
/// There may come more variants. Those that there are keep their fields within a minor version: whoever implements a backend's memory
/// or a transport makes such errors.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There are fewer than two dimensions.
    #[error(
        "a shape needs at least 2 dimensions (N, C and any spatial), got {found}: {}",
        brief(.dims)
    )]
    Rank {
        /// The number of dimensions given.
        found: usize,
        /// The dimensions given.
        dims: Vec<usize>,
    },
    /// There are no channels (the other dimensions may be zero).
    #[error("dimension {axis} of {} is zero: that of the channels must not be", brief(.dims))]
    ZeroDimension {
        /// Which dimension.
        axis: usize,
        /// The dimensions given.
        dims: Vec<usize>,
    },
    /// The product of the dimensions does not fit in memory addresses.
    #[error(
        "the dimensions {} multiply to more values than this machine can address",
        brief(.dims)
    )]
    ShapeOverflow {
        /// The dimensions given.
        dims: Vec<usize>,
    },
    /// An array has another number of values than its shape says.
    #[error("{what} has {found} values but the shape needs {needed}")]
    Length {
        /// Which array.
        what: &'static str,
        /// Its number of values.
        found: usize,
        /// What the shape needs.
        needed: usize,
    },
    /// An array has another shape than the input it belongs to.
    #[error("{what} is {found} but the input is {needed}")]
    ShapeMismatch {
        /// Which array.
        what: &'static str,
        /// Its shape.
        found: String,
        /// The input's shape.
        needed: String,
    },
    /// The input's channels are not the layer's.
    #[error("the input has {found} channels but the layer was built for {needed}")]
    Channels {
        /// Channels of the input.
        found: usize,
        /// Channels of the layer.
        needed: usize,
    },
    /// The input's channels are not the layer's, but as many values stand along another axis: that of an array whose axes
    /// are in another order than its shape says, or than (N, C, spatial...) for one of `ndarray`.
    #[error(
        "the input, {shape}, has {found} channels but the layer was built for {needed}, which is the length of dimension {axis} in memory: where the channels are there, say so (Shape::channels_first, Shape::channels_last; for ndarray, whose axes are N, C, spatial, Layout::axes_of)"
    )]
    ChannelAxis {
        /// The input's shape.
        shape: String,
        /// The dimension that has the layer's number, counted from 0 in memory order.
        axis: usize,
        /// Channels of the input.
        found: usize,
        /// Channels of the layer.
        needed: usize,
    },
    /// A layer was asked for without channels.
    #[error("a layer needs at least 1 channel, got 0")]
    NoChannels,
    /// Batch statistics need two values per channel.
    #[error(
        "batch statistics need at least 2 values per channel, got {found} (shape {shape}): use forward_inference or forward_frozen, or a larger batch"
    )]
    TooFewValues {
        /// Values per channel found.
        found: usize,
        /// The input's shape.
        shape: String,
    },
    /// Epsilon is not finite, negative, or zero where batch statistics are used.
    #[error("epsilon must be finite and {needed}, got {found}")]
    Epsilon {
        /// The value given.
        found: f64,
        /// The rule it breaks.
        needed: &'static str,
    },
    /// Momentum is outside 0 to 1.
    #[error("momentum must be from 0 to 1 (the weight of the new batch), got {found}")]
    Momentum {
        /// The value given.
        found: f64,
    },
    /// The strides of an array are of neither layout.
    #[error(
        "an array of dimensions {} with strides {} is neither channels-first nor channels-last in memory: copy it first (ndarray: `.as_standard_layout()`)",
        brief(.dims),
        brief(.strides)
    )]
    Strides {
        /// Logical dimensions.
        dims: Vec<usize>,
        /// Strides in values.
        strides: Vec<isize>,
    },
    /// An operation needs running statistics and the layer keeps none.
    #[error("the layer keeps no running statistics, and {operation} needs them")]
    NoRunningStatistics {
        /// What was asked for.
        operation: &'static str,
    },
    /// A layer cannot be folded into the one after it, whose input is what an activation makes of this layer's result.
    #[error("{found} lies between this layer and the one after it, into which it cannot be folded")]
    ActivationBetween {
        /// The activation.
        found: String,
    },
    /// The weight of a layer that is to be folded into is not one that stands beside this layer.
    #[error("the weight has dimensions {}, needed is {needed}", brief(.found))]
    WeightDimensions {
        /// The dimensions given.
        found: Vec<usize>,
        /// What they must be.
        needed: String,
    },
    /// The groups of a batch for a [`SplitBatchNorm`](crate::SplitBatchNorm) are not all of it, or more.
    #[error("the groups have {found} samples together, but the batch has {needed}")]
    GroupSamples {
        /// Samples of all groups.
        found: usize,
        /// Samples of the batch.
        needed: usize,
    },
    /// A [`SplitBatchNorm`](crate::SplitBatchNorm) has no set of this number.
    #[error("there is no set {asked}: the layer has {found}, counted from 0")]
    NoSuchSet {
        /// The number asked for.
        asked: usize,
        /// The number of sets there are.
        found: usize,
    },
    /// An operation needs a residual (or an output for its gradient) that was not given, or the reverse.
    #[error("{found}, but {needed}")]
    Residual {
        /// What was given.
        found: &'static str,
        /// What was needed.
        needed: &'static str,
    },
    /// The device asked for is not in this build or not in this machine.
    #[error("device {device} is not available: {reason}")]
    DeviceUnavailable {
        /// The device asked for.
        device: String,
        /// Why it cannot be had.
        reason: String,
    },
    /// There is no CUDA driver on this machine.
    #[error(
        "there is no CUDA driver here, which a GPU needs ({found}): install NVIDIA's, of CUDA 11.8 or newer"
    )]
    NoDriver {
        /// What was found instead.
        found: String,
    },
    /// The CUDA driver has no such device.
    #[error("there is no GPU {asked}: the CUDA driver has {found}, counted from 0")]
    NoSuchDevice {
        /// The ordinal asked for.
        asked: usize,
        /// The number of devices there are.
        found: usize,
    },
    /// The GPU is older than the kernels can run on.
    #[error("{device} has compute capability {found}, needed is {needed} or newer")]
    UnsupportedDevice {
        /// The device's name.
        device: String,
        /// Its compute capability.
        found: String,
        /// The oldest that the kernels run on.
        needed: String,
    },
    /// This build has no CUDA kernels, or not the one needed.
    #[error(
        "the CUDA kernels needed are not in this build ({reason}): build again with nvcc, found by NVCC, CUDA_HOME or PATH"
    )]
    KernelsNotBuilt {
        /// Why not: where the compiler was looked for, or which kernel is missing.
        reason: String,
    },
    /// The CUDA driver is older than what it is needed for.
    #[error("the CUDA driver supports CUDA {found}, needed is {needed} or newer")]
    DriverTooOld {
        /// The newest version of CUDA that it supports.
        found: String,
        /// The oldest that will do.
        needed: String,
    },
    /// The CUDA driver failed, now or in work given to it before.
    #[error("the CUDA driver could not {operation}: {reason}")]
    Driver {
        /// What it was asked to do.
        operation: &'static str,
        /// What it said.
        reason: String,
        /// The error it gave.
        source: Option<Cause>,
    },
    /// An operand is in the memory of another device than the one that is to work on it.
    #[error(
        "an operand is in the memory of {found}, needed is that of {needed}: upload it there first (Tensor::new)"
    )]
    DeviceMismatch {
        /// The device that it is on.
        found: String,
        /// The device that it must be on.
        needed: String,
    },
    /// An instruction set was asked for that this machine does not have.
    #[error("this machine cannot run {asked}; it has {available}")]
    LevelUnavailable {
        /// The level asked for.
        asked: &'static str,
        /// The levels it has.
        available: String,
    },
    /// The thread pool could not be made.
    #[error("a pool of {threads} threads could not be made: {reason}")]
    Threads {
        /// The number asked for.
        threads: usize,
        /// What the system said.
        reason: String,
        /// The error it gave.
        source: Option<Cause>,
    },
    /// The system has no room for an array.
    #[error("there is no memory for an array of {bytes} bytes")]
    OutOfMemory {
        /// Its size.
        bytes: usize,
    },
    /// A kernel could not be run.
    #[error("kernel {kernel} could not be run: {reason}")]
    Launch {
        /// Its name.
        kernel: String,
        /// What the device said.
        reason: String,
        /// The error it gave.
        source: Option<Cause>,
    },
    /// A checkpoint is not a readable safetensors file, or cannot be written.
    #[error("the checkpoint cannot be used: {reason}")]
    Checkpoint {
        /// What is wrong with it.
        reason: String,
        /// The error of the file system, or of the library that reads and writes checkpoints.
        source: Option<Cause>,
    },
    /// A checkpoint lacks a tensor that the layer needs.
    #[error(
        "the checkpoint has no tensor {}, which the layer needs; it has {available}",
        brief(.name)
    )]
    MissingTensor {
        /// The full name looked for.
        name: String,
        /// The names it has.
        available: String,
    },
    /// A tensor of a checkpoint, or of candle's, has a dtype that cannot be used for it.
    #[error("tensor {} is of dtype {found}, needed is {needed}", brief(.name))]
    TensorDType {
        /// The tensor's full name.
        name: String,
        /// Its dtype in the file.
        found: String,
        /// The dtypes accepted.
        needed: &'static str,
    },
    /// A tensor of a checkpoint, or a variable of candle's, has the wrong shape.
    #[error(
        "tensor {} has shape {}, needed is {needed:?}",
        brief(.name),
        brief(.found)
    )]
    TensorShape {
        /// The tensor's full name.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape needed.
        needed: Vec<usize>,
    },
    /// A value has no meaning in the place it was given.
    #[error("{what} must be {needed}, got {found}")]
    Value {
        /// Which value.
        what: &'static str,
        /// What was given.
        found: String,
        /// What is accepted.
        needed: &'static str,
    },
    /// One of several ranks could not do its part of a synchronized pass, and so none did.
    #[error("rank {rank} could not do its part: {reason}")]
    RankFailed {
        /// Which.
        rank: usize,
        /// Why not.
        reason: String,
        /// On that rank, the error that it was.
        source: Option<Cause>,
    },
    /// Layers that are to be synchronized are not the same on all ranks.
    #[error("rank {rank} has {found}, but rank 0 has {needed}")]
    RanksDiffer {
        /// A rank whose layer is not as that of rank 0.
        rank: usize,
        /// Its layer.
        found: String,
        /// Rank 0's.
        needed: String,
    },
    /// Ranks could not exchange what they have.
    #[error("the ranks cannot exchange anything: {reason}")]
    Transport {
        /// Why not.
        reason: String,
        /// The error of the library that connects them.
        source: Option<Cause>,
    },
}
