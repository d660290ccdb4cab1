//! What every kernel is given: `kernels/arguments.cuh` in Rust, field for field.
#![expect(missing_docs, reason = "each is described in kernels/arguments.cuh")]

/// Arrays of all values. Here and below addresses are the device's; 0 is none.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Arrays {
    pub x: u64,
    pub dy: u64,
    pub out: u64,
    pub residual: u64,
    pub dresidual: u64,
    pub mask: u64,
    pub preactivation: u64,
}

/// Arrays of one value per channel.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ChannelArrays {
    pub gamma: u64,
    pub beta: u64,
    pub mean: u64,
    pub mean_low: u64,
    pub variance: u64,
    pub inv_std: u64,
    pub running_mean: u64,
    pub running_variance: u64,
    pub dgamma: u64,
    pub dbeta: u64,
}

/// Memory that only the stream's launches use.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Workspace {
    pub counters: u64,
    pub partials: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Numbers {
    pub epsilon: f64,
    pub running_weight: f64,
    pub variance_correction: f64,
    pub count: f64,
    pub parameter: f64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ArrayShape {
    pub batch: i64,
    pub channels: i64,
    pub spatial: i64,
    pub packets: i64,
    pub neighbours: i64,
}

/// Which part of the work a block has.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Partition {
    pub tile: i64,
    pub tiles: u32,
    pub group_channels: u32,
    pub kept_rows: u32,
    pub places: u32,
}

/// What becomes of v on its way to y. Whether a residual is added before, [`Arrays::residual`] says.
#[repr(u32)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ActivationCode {
    #[default]
    None = 0,
    Relu = 1,
    Relu6 = 2,
    LeakyRelu = 3,
    Silu = 4,
    Elu = 5,
    Hardswish = 6,
    Sigmoid = 7,
    Tanh = 8,
    Gelu = 9,
    GeluTanh = 10,
}

/// What forward keeps of v for backward.
#[repr(u32)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Saved {
    /// v is computed again from x.
    #[default]
    Nothing = 0,
    /// Through which values dy passes, at [`Arrays::mask`].
    Mask = 1,
    /// v itself, at [`Arrays::preactivation`].
    PreActivation = 2,
}

/// Bits of [`Choices::aligned`].
pub mod aligned {
    pub const X: u32 = 1;
    pub const DY: u32 = 2;
    pub const OUT: u32 = 4;
    pub const RESIDUAL: u32 = 8;
    pub const DRESIDUAL: u32 = 16;
    pub const PREACTIVATION: u32 = 32;
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Choices {
    pub activation: ActivationCode,
    pub saved: Saved,
    pub batch_statistics: u32,
    pub reverse: u32,
    pub aligned: u32,
    pub only_finite: u32,
}

/// See `kernels/arguments.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Arguments {
    pub arrays: Arrays,
    pub channel: ChannelArrays,
    pub workspace: Workspace,
    pub numbers: Numbers,
    pub shape: ArrayShape,
    pub partition: Partition,
    pub choices: Choices,
}
