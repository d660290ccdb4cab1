//! What a program that listens is told of each launch (feature `tracing`). Without the feature nothing is left of it.

use crate::gpu::launch::Launch;
use crate::gpu::plan::descriptor::TensorDescriptor;

/// That a kernel is put into the stream, for an array as the kernels see it: none for a kernel of one value per channel.
#[cfg(feature = "tracing")]
pub(super) fn launches(descriptor: Option<&TensorDescriptor>, launch: &Launch) {
    tracing::debug!(
        target: "batchnorm",
        kernel = %launch.kernel,
        descriptor = ?descriptor,
        blocks = launch.blocks,
        threads = launch.threads,
        cluster = launch.cluster,
        shared_bytes = launch.shared_bytes,
        cooperative = launch.cooperative,
    );
}

#[cfg(not(feature = "tracing"))]
#[inline(always)]
pub(super) fn launches(_: Option<&TensorDescriptor>, _: &Launch) {}
