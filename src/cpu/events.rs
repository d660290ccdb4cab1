//! What a program that listens is told of each pass and step (feature `tracing`). Without the feature nothing is left of it.

use crate::cpu::Cpu;
use crate::cpu::tiling::tile::Tiling;
use crate::element::Element;
use crate::shape::Shape;

/// That a pass or a step begins, and how its array is cut into tiles: which is not asked where nobody listens.
#[cfg(feature = "tracing")]
pub(crate) fn begins<T: Element>(
    cpu: &Cpu,
    pass: &'static str,
    shape: &Shape,
    tiling: impl FnOnce() -> Tiling,
) {
    if tracing::enabled!(target: "batchnorm", tracing::Level::DEBUG) {
        let tiling = tiling();
        tracing::debug!(
            target: "batchnorm",
            pass,
            %shape,
            dtype = %T::DTYPE,
            level = %cpu.level(),
            threads = cpu.threads(),
            tiles = tiling.count(),
            whole_channels = tiling.has_whole_channels(),
        );
    }
}

#[cfg(not(feature = "tracing"))]
#[inline(always)]
pub(crate) fn begins<T: Element>(_: &Cpu, _: &'static str, _: &Shape, _: impl FnOnce() -> Tiling) {}
