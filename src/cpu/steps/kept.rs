//! The steps and the fused passes over what is kept of a batch: as `separate.rs` and `fused.rs` have them, but that a thread takes the sums
//! of a tile when it comes to it.

use crate::backend::operands::{InOut, Normalization, StatisticsSource};
use crate::backend::saved_activation::SavedActivation;
use crate::cpu::Cpu;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::epilogue::forward::TileEpilogue;
use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::kernels::backward_reduce::{AffineGradients, Gradient, correct_for_center};
use crate::cpu::kernels::coefficients::coefficients_of;
use crate::cpu::kernels::kept_backward_input::KeptInputTile;
use crate::cpu::kernels::kept_normalize::KeptNormalizeTile;
use crate::cpu::kernels::kept_statistics::KeptMoments;
use crate::cpu::kernels::{KernelElement, backward_input};
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::tile_memory::{Outputs, for_each_tile};
use crate::cpu::reduce::finalize::{Finalized, finalize};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::renormalization::BatchAffine;
use crate::cpu::steps::backward_params::BackwardParams;
use crate::cpu::steps::tile_gradients::Reduction;
use crate::cpu::steps::tile_moments;
use crate::cpu::tiling::pass_arrays;
use crate::cpu::tiling::tile::{Tile, Tiling};

/// The moments of all channels, tile by tile.
pub(crate) fn moments<T: KernelElement>(
    cpu: &Cpu,
    tiling: &Tiling,
    kept: &KeptOfView<'_, T::Scalar>,
    x: &[T],
) -> Moments {
    let view = &tiling.view;
    let (count, bytes) = (tiling.count(), size_of_val(x));
    let parts = cpu
        .threads
        .map(count, bytes, tiling.order, |index, _, (): &mut ()| {
            let tile = tiling.tile(index);
            let moments = moments_of(cpu, &tile, kept, x);
            (tile.channels(view).start, moments)
        });
    let mut whole = Moments::none(view.channels);
    let mut weights = Scratch::<f64>::zeros(view.channels);
    // Nothing may be kept of a tile.
    for (first, part) in parts.iter().filter(|(_, part)| part.count > 0.0) {
        let weight = &mut weights[*first..first + part.mean.len()];
        whole.merge_at(*first, weight[0], part);
        weight.fill(weight[0] + part.count);
    }
    whole.count = weights[0];
    whole
}

fn moments_of<T: KernelElement>(
    cpu: &Cpu,
    tile: &Tile,
    kept: &KeptOfView<'_, T::Scalar>,
    x: &[T],
) -> Moments {
    let of = KeptMoments {
        view: kept.view(),
        tile,
        x: RawSlice::new(x),
        kept,
    };
    tile_moments::of_kept(cpu, of)
}

/// Normalizes a whole array with statistics that are known.
pub(crate) fn normalize<T: KernelElement>(
    cpu: &Cpu,
    tiling: &Tiling,
    kept: &KeptOfView<'_, T::Scalar>,
    x_to_y: InOut<&[T], &mut [T]>,
    with: &Normalization<&[T::Scalar]>,
    epilogue: TileEpilogue<'_, T>,
    saved: SavedActivation<&mut [u8], &mut [T]>,
) {
    let view = &tiling.view;
    let coefficients =
        Coefficients::new(0..view.channels, |channel| coefficients_of(with, channel));
    let (mask, second) = saved.split();
    let outputs = Outputs {
        map: x_to_y,
        second,
        mask,
    };
    for_each_tile(&cpu.threads, tiling, outputs, |memory, _, (): &mut ()| {
        T::normalize_kept(
            cpu,
            KeptNormalizeTile {
                view,
                kept,
                coefficients: &coefficients,
                epilogue,
                memory,
            },
        );
    });
}

/// Reduces a whole array.
pub(crate) fn reduce<T: KernelElement>(
    cpu: &Cpu,
    tiling: &Tiling,
    kept: &KeptOfView<'_, T::Scalar>,
    dy: &[T],
    params: &BackwardParams<'_, T>,
) -> AffineGradients {
    let (view, with) = (&tiling.view, params.with());
    let reduction = Reduction::new(view, params.x, with, params.activation);
    let bytes = size_of_val(dy) + size_of_val(params.x);
    let parts = cpu.threads.map(
        tiling.count(),
        bytes,
        tiling.order,
        |index, _, (): &mut ()| {
            let tile = tiling.tile(index);
            let dy = Gradient::Array(RawSlice::new(dy));
            let sums = reduction.of_kept(cpu, &tile, kept, dy);
            (tile.channels(view).start, sums)
        },
    );
    let mut whole = AffineGradients::none(view.channels);
    for (first, part) in parts {
        whole.add_at(first, &part);
    }
    correct_for_center(&mut whole, &with, 0);
    whole
}

/// Writes dx of a whole array whose sums are known, if they are needed.
pub(crate) fn input<T: KernelElement>(
    cpu: &Cpu,
    tiling: &Tiling,
    kept: &KeptOfView<'_, T::Scalar>,
    dy_to_dx: InOut<&[T], &mut [T]>,
    params: &BackwardParams<'_, T>,
    means: impl Fn(usize) -> Option<[f64; 2]>,
    dresidual: Option<&mut [T]>,
) {
    let (of_batch, view) = (params.source == StatisticsSource::Batch, &tiling.view);
    let coefficients =
        backward_input::coefficients(&params.with(), params.scales(), 0..view.channels, means);
    let outputs = Outputs {
        map: dy_to_dx,
        second: dresidual,
        mask: None,
    };
    for_each_tile(&cpu.threads, tiling, outputs, |memory, _, (): &mut ()| {
        T::input_kept(
            cpu,
            KeptInputTile {
                view,
                kept,
                x: RawSlice::new(params.x),
                coefficients: &coefficients,
                of_batch,
                activation: params.activation,
                memory,
            },
        );
    });
}

/// Forward training of a batch of which something is kept.
pub(crate) fn forward_training<T: KernelElement>(
    cpu: &Cpu,
    kept: &KeptOfView<'_, T::Scalar>,
    x: &[T],
    affine: BatchAffine<'_, T::Scalar>,
    epilogue: TileEpilogue<'_, T>,
    saved: SavedActivation<&mut [u8], &mut [T]>,
    y: &mut [T],
) -> Finalized<T::Scalar> {
    let view = kept.view();
    let tiling = view.for_statistics(pass_arrays::FORWARD, size_of::<T>());
    let x_to_y = InOut::Separate(x, y);
    if !tiling.has_whole_channels() {
        let finalized = finalize(&moments(cpu, &tiling, kept, x), affine.epsilon());
        let renormalized = affine.renormalized(&finalized);
        let with = affine.normalization(&finalized, renormalized.as_ref());
        let tiling = view.by_rows().reversed();
        normalize(cpu, &tiling, kept, x_to_y, &with, epilogue, saved);
        return finalized;
    }
    let (mask, second) = saved.split();
    let outputs = Outputs {
        map: x_to_y,
        second,
        mask,
    };
    let parts = for_each_tile(&cpu.threads, &tiling, outputs, |memory, _, (): &mut ()| {
        let channels = memory.tile.channels(view);
        let finalized = finalize(&moments_of(cpu, memory.tile, kept, x), affine.epsilon());
        let affine = affine.of_channels(&channels);
        let renormalized = affine.renormalized(&finalized);
        let with = affine.normalization(&finalized, renormalized.as_ref());
        let first = channels.start;
        let coefficients =
            Coefficients::new(channels, |channel| coefficients_of(&with, channel - first));
        T::normalize_kept(
            cpu,
            KeptNormalizeTile {
                view,
                kept,
                coefficients: &coefficients,
                epilogue,
                memory,
            },
        );
        finalized
    });
    let (mut whole, mut first) = (Finalized::of_len(view.channels), 0);
    for part in parts {
        whole.write_at(first, &part);
        first += part.mean.len();
    }
    whole
}

/// All gradients of a batch of which something is kept; returns dγ and dβ.
pub(crate) fn backward<T: KernelElement>(
    cpu: &Cpu,
    kept: &KeptOfView<'_, T::Scalar>,
    dy_to_dx: InOut<&[T], &mut [T]>,
    params: &BackwardParams<'_, T>,
    dresidual: Option<&mut [T]>,
) -> AffineGradients {
    let (x, with, activation) = (params.x, params.with(), params.activation);
    let of_batch = params.source == StatisticsSource::Batch;
    let (view, weight) = (kept.view(), kept.weight());
    let means_of = |sums: &AffineGradients, c: usize| {
        of_batch.then(|| [sums.dgamma[c] / weight, sums.dbeta[c] / weight])
    };
    let tiling = view.for_statistics(pass_arrays::BACKWARD, size_of::<T>());
    if !tiling.has_whole_channels() {
        let sums = reduce(cpu, &tiling, kept, dy_to_dx.input(), params);
        let means = |c: usize| means_of(&sums, c);
        let tiling = view.by_rows().reversed();
        input(cpu, &tiling, kept, dy_to_dx, params, means, dresidual);
        return sums;
    }
    let outputs = Outputs {
        map: dy_to_dx,
        second: dresidual,
        mask: None,
    };
    let reduction = Reduction::new(view, x, with, activation);
    let parts = for_each_tile(&cpu.threads, &tiling, outputs, |memory, _, (): &mut ()| {
        let channels = memory.tile.channels(view);
        let first = channels.start;
        let dy = Gradient::Tile(&*memory);
        let mut sums = reduction.of_kept(cpu, memory.tile, kept, dy);
        correct_for_center(&mut sums, &with, first);
        let means = |c: usize| means_of(&sums, c - first);
        let coefficients = backward_input::coefficients(&with, params.scales(), channels, means);
        T::input_kept(
            cpu,
            KeptInputTile {
                view,
                kept,
                x: RawSlice::new(x),
                coefficients: &coefficients,
                of_batch,
                activation,
                memory,
            },
        );
        (first, sums)
    });
    let mut whole = AffineGradients::none(view.channels);
    for (first, part) in parts {
        whole.add_at(first, &part);
    }
    whole
}
