//! The fused passes: statistics and what follows from them, tile by tile while the tile is in cache.
//!
//! Where a tile has whole channels, forward training reads x from memory once and writes y once; backward reads x and dy
//! once and writes dx once; and what a thread takes next is read while it writes. Where channels are cut (channels last, or
//! few and large ones) the passes are the steps.

use crate::backend::operands::{InOut, StatisticsSource};
use crate::backend::saved_activation::SavedActivation;
use crate::cpu::Cpu;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::epilogue::forward::TileEpilogue;
use crate::cpu::kernels::backward_input::InputTile;
use crate::cpu::kernels::backward_reduce::{AffineGradients, Gradient};
use crate::cpu::kernels::coefficients::coefficients_of;
use crate::cpu::kernels::normalize::NormalizeTile;
use crate::cpu::kernels::statistics::TileMoments;
use crate::cpu::kernels::{KernelElement, backward_input, backward_reduce};
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::tile_memory::{Outputs, for_each_tile};
use crate::cpu::reduce::finalize::{Finalized, finalize};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::reduce::planes::can_overlap;
use crate::cpu::renormalization::BatchAffine;
use crate::cpu::steps::backward_params::BackwardParams;
use crate::cpu::steps::separate;
use crate::cpu::steps::tile_gradients::Reduction;
use crate::cpu::steps::tile_kernels::TileKernels;
use crate::cpu::steps::tile_moments;
use crate::cpu::tiling::pass_arrays;
use crate::cpu::tiling::view::MatrixView;

/// Forward training.
pub(crate) fn forward_training<T: KernelElement>(
    cpu: &Cpu,
    view: &MatrixView,
    x: &[T],
    affine: BatchAffine<'_, T::Scalar>,
    epilogue: TileEpilogue<'_, T>,
    saved: SavedActivation<&mut [u8], &mut [T]>,
    y: &mut [T],
) -> Finalized<T::Scalar> {
    let tiling = view.for_statistics(pass_arrays::FORWARD, size_of::<T>());
    if !tiling.has_whole_channels() {
        let moments = separate::moments(cpu, &tiling, x);
        let finalized = finalize(&moments, affine.epsilon());
        let renormalized = affine.renormalized(&finalized);
        let with = affine.normalization(&finalized, renormalized.as_ref());
        let tiling = view.by_rows().reversed();
        separate::normalize(cpu, &tiling, InOut::Separate(x, y), &with, epilogue, saved);
        return finalized;
    }
    let (mask, second) = saved.split();
    let outputs = Outputs {
        map: InOut::Separate(x, y),
        second,
        mask,
    };
    let kernels = TileKernels::default();
    let mut parts = for_each_tile(
        &cpu.threads,
        &tiling,
        outputs,
        |memory, next, taken: &mut Option<Moments>| {
            let tile = memory.tile;
            let moments = tile_moments::of_tile(cpu, TileMoments::of(view, tile, x), taken.take());
            let channels = tile.channels(view);
            let finalized = finalize(&moments, affine.epsilon());
            let affine = affine.of_channels(&channels);
            let renormalized = affine.renormalized(&finalized);
            let with = affine.normalization(&finalized, renormalized.as_ref());
            let first = channels.start;
            let coefficients =
                Coefficients::new(channels, |channel| coefficients_of(&with, channel - first));
            *taken = kernels.normalize(
                cpu,
                NormalizeTile {
                    view,
                    tile,
                    coefficients: &coefficients,
                    epilogue,
                    memory,
                    next: next
                        .filter(|next| can_overlap(view, next.tile, tile))
                        .map(|next| TileMoments::of(view, next.tile, x))
                        .filter(|next| !next.are_of_few()),
                },
            );
            finalized
        },
    );
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let (mut whole, mut first) = (Finalized::of_len(view.channels), 0);
    for part in parts {
        whole.write_at(first, &part);
        first += part.mean.len();
    }
    whole
}

/// Values of a tile of which backward takes the sums while it writes another. With more nothing of either stays in a cache until it is
/// read again, and what is left is five streams at a time instead of two, then three. (AMD EPYC, Zen 4, two threads: 4x32x32x64x64, of
/// 524,288, took 6.5 ms and takes 6.0; 32x64x112x112, of 401,408, is as fast either way, and forward gains with both.)
const MOST_OVERLAPPED: usize = 400 << 10;

/// All gradients; returns dγ and dβ.
pub(crate) fn backward<T: KernelElement>(
    cpu: &Cpu,
    view: &MatrixView,
    dy_to_dx: InOut<&[T], &mut [T]>,
    params: &BackwardParams<'_, T>,
    dresidual: Option<&mut [T]>,
) -> AffineGradients {
    let (x, with, activation) = (params.x, params.with(), params.activation);
    let of_batch = params.source == StatisticsSource::Batch;
    let count = view.values_per_channel();
    let tiling = view.for_statistics(pass_arrays::BACKWARD, size_of::<T>());
    if !tiling.has_whole_channels() {
        let sums = separate::reduce(cpu, &tiling, dy_to_dx.input(), params);
        let means = |c: usize| of_batch.then(|| [sums.dgamma[c] / count, sums.dbeta[c] / count]);
        let tiling = view.by_rows().reversed();
        separate::input(cpu, &tiling, dy_to_dx, params, means, dresidual);
        return sums;
    }
    let outputs = Outputs {
        map: dy_to_dx,
        second: dresidual,
        mask: None,
    };
    let (reduction, kernels) = (
        Reduction::new(view, x, with, activation),
        TileKernels::default(),
    );
    let mut parts = for_each_tile(
        &cpu.threads,
        &tiling,
        outputs,
        |memory, next, taken: &mut Option<AffineGradients>| {
            let tile = memory.tile;
            let channels = tile.channels(view);
            let first = channels.start;
            let mut sums = reduction.of_tile(cpu, tile, Gradient::Tile(memory), taken.take());
            backward_reduce::correct_for_center(&mut sums, &with, first);
            let means = |c: usize| {
                of_batch.then(|| {
                    [
                        sums.dgamma[c - first] / count,
                        sums.dbeta[c - first] / count,
                    ]
                })
            };
            let scales = params.scales();
            let coefficients = backward_input::coefficients(&with, scales, channels, means);
            *taken = kernels.input(
                cpu,
                InputTile {
                    view,
                    tile,
                    x: RawSlice::new(x),
                    coefficients: &coefficients,
                    of_batch,
                    activation,
                    memory,
                    next: next
                        .filter(|_| {
                            tile.values_per_channel(view) * sums.dgamma.len() <= MOST_OVERLAPPED
                        })
                        .filter(|next| reduction.is_plain() && can_overlap(view, next.tile, tile))
                        .map(|next| reduction.enlarged(next.tile, Gradient::Tile(next))),
                },
            );
            sums
        },
    );
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let (mut whole, mut first) = (AffineGradients::none(view.channels), 0);
    for part in parts {
        let channels = first..first + part.dgamma.len();
        whole.dgamma[channels.clone()].copy_from_slice(&part.dgamma);
        whole.dbeta[channels.clone()].copy_from_slice(&part.dbeta);
        first = channels.end;
    }
    whole
}
