//! What Rust and C++ must agree on.

use std::mem::offset_of;

use batchnorm::gpu::arguments::Arguments;
use batchnorm::gpu::kernel::{self, Kernel};
use batchnorm::simt::{argument_layout, kernels};

/// The offsets of these fields of [`Arguments`].
macro_rules! offsets {
    ($($field:ident)*) => {
        [$(offset_of!(Arguments, $field)),*]
    };
}

#[test]
fn arguments_are_laid_out_alike() {
    let offsets = offsets! {
        x dy out residual dresidual mask
        gamma beta mean mean_low variance inv_std
        running_mean running_variance sum_gamma sum_beta
        counters partials
        epsilon factor correction count
        batch channels spatial packets tile
        tiles group_channels kept_rows
        epilogue gate of_batch reverse aligned
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
    let mut launched: Vec<_> = kernel::all().map(Kernel::name).collect();
    launched.sort();
    assert_eq!(of_the_crate, launched);
}
