//! The steps over whole arrays: the kernels of a tile, for every tile and on every thread.

pub(crate) mod backward_params;
pub(crate) mod compiled;
pub(crate) mod double_backward;
pub(crate) mod fused;
pub(crate) mod kept;
pub(crate) mod output_normalization;
pub(crate) mod quantize;
pub(crate) mod separate;
pub(crate) mod tile_gradients;
pub(crate) mod tile_kernels;
pub(crate) mod tile_moments;
