//! Each step over a whole array, tile by tile.

use crate::backend::operands::{InOut, Normalization, StatisticsSource};
use crate::backend::saved_activation::SavedActivation;
use crate::cpu::Cpu;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::epilogue::forward::TileEpilogue;
use crate::cpu::kernels::KernelElement;
use crate::cpu::kernels::backward_input::{self, InputTile};
use crate::cpu::kernels::backward_reduce::{AffineGradients, Gradient, correct_for_center};
use crate::cpu::kernels::coefficients::coefficients_of;
use crate::cpu::kernels::normalize::NormalizeTile;
use crate::cpu::kernels::statistics::TileMoments;
use crate::cpu::memory::scratch::Scratch;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::memory::tile_memory::{Outputs, for_each_tile};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::steps::backward_params::BackwardParams;
use crate::cpu::steps::tile_gradients::Reduction;
use crate::cpu::steps::tile_kernels::TileKernels;
use crate::cpu::steps::tile_moments;
use crate::cpu::tiling::tile::Tiling;

/// The moments of all channels, tile by tile.
pub(crate) fn moments<T: KernelElement>(cpu: &Cpu, tiling: &Tiling, x: &[T]) -> Moments {
    let view = &tiling.view;
    let (count, bytes) = (tiling.count(), size_of_val(x));
    let parts = cpu
        .threads
        .map(count, bytes, tiling.order, |index, _, (): &mut ()| {
            let tile = tiling.tile(index);
            let moments = tile_moments::of_tile(cpu, TileMoments::of(view, &tile, x), None);
            (tile.channels(view).start, moments)
        });
    let mut whole = Moments::none(view.channels);
    // A channel's parts have its count so far beside them: where channels are cut, not all are equally far.
    let mut counts = Scratch::<f64>::zeros(view.channels);
    for (first, part) in &parts {
        let count = &mut counts[*first..first + part.mean.len()];
        whole.merge_at(*first, count[0], part);
        count.fill(count[0] + part.count);
    }
    whole.count = counts[0];
    whole
}

/// Normalizes a whole array with statistics that are known.
pub(crate) fn normalize<T: KernelElement>(
    cpu: &Cpu,
    tiling: &Tiling,
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
    let kernels = TileKernels::default();
    for_each_tile(&cpu.threads, tiling, outputs, |memory, _, (): &mut ()| {
        kernels.normalize(
            cpu,
            NormalizeTile {
                view,
                tile: memory.tile,
                coefficients: &coefficients,
                epilogue,
                memory,
                next: None,
            },
        );
    });
}

/// Reduces a whole array.
pub(crate) fn reduce<T: KernelElement>(
    cpu: &Cpu,
    tiling: &Tiling,
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
            let sums = reduction.of_tile(cpu, &tile, dy, None);
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
    dy_to_dx: InOut<&[T], &mut [T]>,
    params: &BackwardParams<'_, T>,
    means: impl Fn(usize) -> Option<[f64; 2]>,
    dresidual: Option<&mut [T]>,
) {
    let (of_batch, view) = (params.source == StatisticsSource::Batch, &tiling.view);
    let coefficients = {
        let channels = 0..view.channels;
        backward_input::coefficients(&params.with(), params.scales(), channels, means)
    };
    let outputs = Outputs {
        map: dy_to_dx,
        second: dresidual,
        mask: None,
    };
    let kernels = TileKernels::default();
    for_each_tile(&cpu.threads, tiling, outputs, |memory, _, (): &mut ()| {
        let x = RawSlice::new(params.x);
        kernels.input(
            cpu,
            InputTile {
                view,
                tile: memory.tile,
                x,
                coefficients: &coefficients,
                of_batch,
                activation: params.activation,
                memory,
                next: None,
            },
        );
    });
}
