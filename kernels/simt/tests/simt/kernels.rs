//! What Rust and C++ must agree on.

use std::mem::offset_of;

use batchnorm::gpu::Kernel;
use batchnorm::gpu::internal::{Arguments, all_kernels};
use batchnorm_simt::{argument_layout, kernels};

/// The offsets of these fields of [`Arguments`].
macro_rules! offsets {
    ($($group:ident: $($field:ident)*;)*) => {
        [$($(offset_of!(Arguments, $group.$field)),*),*]
    };
}

#[test]
fn arguments_are_laid_out_alike() {
    let offsets = offsets! {
        arrays: x dy out residual dresidual mask preactivation;
        channel: gamma beta mean mean_low variance inv_std running_mean running_variance dgamma dbeta;
        workspace: counters partials;
        numbers: epsilon running_weight variance_correction count parameter;
        shape: batch channels spatial packets neighbours;
        partition: tile tiles group_channels kept_rows places;
        choices: activation saved batch_statistics reverse aligned only_finite;
    };
    let layout = argument_layout();
    assert_eq!(layout[0], size_of::<Arguments>());
    assert_eq!(layout[1..], offsets);
}

#[test]
fn the_kernels_are_those_that_are_launched() {
    let (_, of_the_crate): (Vec<_>, Vec<_>) = kernels()
        .into_iter()
        .map(|kernel| kernel.name.to_owned())
        .partition(|name| name.starts_with("selftest_"));
    let mut launched: Vec<_> = all_kernels().map(Kernel::name).collect();
    launched.sort();
    assert_eq!(of_the_crate, launched);
}
