//! The layer on candle's tensors: against candle's own layer where that one is right, and where it is not.

mod block;
mod cuda;
mod data;
mod fused;
mod half;
mod layouts;
mod like_candle;
mod refused;
#[path = "../contract/shapes.rs"]
#[allow(
    dead_code,
    reason = "those of the contract suite, not all of them here"
)]
mod shapes;
mod variables;
