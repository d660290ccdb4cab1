//! What every kernel is given: `kernels/arguments.cuh` in Rust, field for field.

/// See `kernels/arguments.cuh`. Addresses are the device's; 0 is none.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[expect(missing_docs, reason = "each is described in kernels/arguments.cuh")]
pub struct Arguments {
    pub x: u64,
    pub dy: u64,
    pub out: u64,
    pub residual: u64,
    pub dresidual: u64,
    pub mask: u64,
    pub gamma: u64,
    pub beta: u64,
    pub mean: u64,
    pub mean_low: u64,
    pub variance: u64,
    pub inv_std: u64,
    pub running_mean: u64,
    pub running_variance: u64,
    pub sum_gamma: u64,
    pub sum_beta: u64,
    pub counters: u64,
    pub partials: u64,
    pub epsilon: f64,
    pub factor: f64,
    pub correction: f64,
    pub count: f64,
    pub batch: i64,
    pub channels: i64,
    pub spatial: i64,
    pub packets: i64,
    pub tile: i64,
    pub tiles: u32,
    pub group_channels: u32,
    pub kept_rows: u32,
    pub epilogue: u32,
    pub gate: u32,
    pub of_batch: u32,
    pub reverse: u32,
    pub aligned: u32,
}
