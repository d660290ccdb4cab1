//! The layer on candle's tensors: against candle's own layer where that one is right, and where it is not.

mod block;
mod cuda;
mod data;
mod dimensions;
mod fold;
mod fused;
mod graph;
mod half;
mod kept;
mod layouts;
mod like_candle;
mod penalty;
mod ranks;
mod refused;
mod renormalized;
mod second;
mod set_variables;
mod variables;
