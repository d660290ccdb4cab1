//! The fused passes: statistics and what follows from them, tile by tile while the tile is in cache.
//!
//! Where a tile has whole channels, forward training reads x from memory once and writes y once; backward reads x and dy
//! once and writes dx once; and what a thread takes next is read while it writes. Where channels are cut (channels last, or
//! few and large ones) the passes are the steps.

use crate::backend::operands::{Affine, InOut, StatisticsSource};
use crate::cpu::Cpu;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::epilogue::Epilogue;
use crate::cpu::epilogue::backward_mask::Gate;
use crate::cpu::kernels::backward_input::{Behind, InputTile};
use crate::cpu::kernels::backward_reduce::{FOR_SUMS_AND_V, Gradient, ReduceTile, Sums};
use crate::cpu::kernels::coefficients::coefficients_of;
use crate::cpu::kernels::normalize::{NormalizeTile, normalize};
use crate::cpu::kernels::statistics::TileMoments;
use crate::cpu::kernels::{backward_input, backward_reduce, statistics};
use crate::cpu::memory::slice::Run;
use crate::cpu::memory::tile_memory::{Outputs, TileMemory, scatter};
use crate::cpu::reduce::finalize::{Finished, finish};
use crate::cpu::reduce::moments::Moments;
use crate::cpu::reduce::planes::can_be_beside;
use crate::cpu::tiling::view::Matrix;
use crate::element::Element;

/// Forward training.
pub(crate) fn forward_training<T: Element>(
    cpu: &Cpu,
    matrix: &Matrix,
    x: &[T],
    affine: Affine<&[T::Compute]>,
    epilogue: Epilogue<'_, T>,
    mask: Option<&mut [u8]>,
    y: &mut [T],
) -> Finished<T::Compute> {
    let tiling = matrix.for_statistics(2, size_of::<T>());
    if !tiling.has_whole_channels() {
        let moments = statistics::moments(cpu, &tiling, x);
        let finished = finish(&moments, matrix, 0, x, affine.epsilon);
        let with = finished.normalization(affine.gamma, affine.beta);
        let tiling = matrix.by_rows().last_first();
        normalize(cpu, &tiling, InOut::Separate(x, y), &with, epilogue, mask);
        return finished;
    }
    let outputs = Outputs {
        map: InOut::Separate(x, y),
        second: None,
        mask,
    };
    let mut parts = scatter(
        &cpu.threads,
        &tiling,
        outputs,
        |memory, next, taken: &mut Option<Moments>| {
            let tile = memory.tile;
            let moments = taken
                .take()
                .unwrap_or_else(|| T::moments(cpu, TileMoments::of(matrix, tile, x)));
            let channels = tile.channels(matrix);
            let finished = finish(&moments, matrix, channels.start, x, affine.epsilon);
            let with = finished.normalization(
                &affine.gamma[channels.clone()],
                &affine.beta[channels.clone()],
            );
            let first = channels.start;
            let coefficients =
                Coefficients::new(channels, |channel| coefficients_of(&with, channel - first));
            *taken = T::normalize(
                cpu,
                NormalizeTile {
                    matrix,
                    tile,
                    coefficients: &coefficients,
                    epilogue,
                    memory,
                    next: next
                        .filter(|next| can_be_beside(matrix, next.tile, tile))
                        .map(|next| TileMoments::of(matrix, next.tile, x)),
                },
            );
            finished
        },
    );
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let (mut whole, mut first) = (Finished::of_len(matrix.channels), 0);
    for part in parts {
        whole.put(first, &part);
        first += part.mean.len();
    }
    whole
}

/// What the reduction of a tile takes beside dy.
struct Reduction<'a, T: Element> {
    matrix: &'a Matrix,
    x: &'a [T],
    coefficients: &'a Coefficients<T::Compute, FOR_SUMS_AND_V>,
    gate: Gate<'a>,
}

impl<'a, T: Element> Reduction<'a, T> {
    fn of<'m>(&self, memory: &'a TileMemory<'m, T>) -> ReduceTile<'a, 'm, T> {
        ReduceTile {
            matrix: self.matrix,
            tile: memory.tile,
            dy: Gradient::Tile(memory),
            x: Run::new(self.x),
            coefficients: self.coefficients,
            gate: self.gate,
        }
    }
}

/// All gradients; returns dγ and dβ.
pub(crate) fn backward<T: Element>(
    cpu: &Cpu,
    matrix: &Matrix,
    dy_to_dx: InOut<&[T], &mut [T]>,
    x: &[T],
    behind: Behind<'_, '_, T::Compute>,
    dresidual: Option<&mut [T]>,
) -> Sums {
    let Behind { with, source, gate } = behind;
    let of_batch = source == StatisticsSource::Batch;
    let count = matrix.values_per_channel();
    let tiling = matrix.for_statistics(3, size_of::<T>());
    if !tiling.has_whole_channels() {
        let sums = backward_reduce::reduce(cpu, &tiling, dy_to_dx.input(), x, &with, gate);
        let totals = |c: usize| of_batch.then(|| [sums.gamma[c] / count, sums.beta[c] / count]);
        let tiling = matrix.by_rows().last_first();
        backward_input::input(cpu, &tiling, dy_to_dx, x, behind, totals, dresidual);
        return sums;
    }
    let outputs = Outputs {
        map: dy_to_dx,
        second: dresidual,
        mask: None,
    };
    let coefficients = backward_reduce::coefficients(&with, 0..matrix.channels);
    let reduction = Reduction {
        matrix,
        x,
        coefficients: &coefficients,
        gate,
    };
    let mut parts = scatter(
        &cpu.threads,
        &tiling,
        outputs,
        |memory, next, taken: &mut Option<Sums>| {
            let tile = memory.tile;
            let channels = tile.channels(matrix);
            let first = channels.start;
            let mut sums = taken
                .take()
                .unwrap_or_else(|| T::reduce(cpu, reduction.of(memory)));
            backward_reduce::correct_for_center(&mut sums, &with, first);
            let totals = |c: usize| {
                of_batch.then(|| [sums.gamma[c - first] / count, sums.beta[c - first] / count])
            };
            let coefficients = backward_input::coefficients(&with, channels, totals);
            *taken = T::input(
                cpu,
                InputTile {
                    matrix,
                    tile,
                    x: Run::new(x),
                    coefficients: &coefficients,
                    of_batch,
                    gate,
                    memory,
                    next: next
                        .filter(|next| can_be_beside(matrix, next.tile, tile))
                        .map(|next| reduction.of(next)),
                },
            );
            sums
        },
    );
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let (mut whole, mut first) = (Sums::none(matrix.channels), 0);
    for part in parts {
        let channels = first..first + part.gamma.len();
        whole.gamma[channels.clone()].copy_from_slice(&part.gamma);
        whole.beta[channels.clone()].copy_from_slice(&part.beta);
        first = channels.end;
    }
    whole
}
