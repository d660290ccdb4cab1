//! Which kernels a tile is given to: nearly all to those that are written for speed; and where a factor of some channel is beyond the type,
//! though what it gives need not be, or v is found of y, to those over what is kept, which are told that all is. They multiply by such a
//! factor in two, and have room for what the others would lose registers to.

use std::sync::OnceLock;

use crate::backend::kept::Kept;
use crate::cpu::Cpu;
use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::kernels::KernelElement;
use crate::cpu::kernels::backward_input::{InputTile, SECOND_FACTORS};
use crate::cpu::kernels::backward_reduce::{AffineGradients, ReduceTile};
use crate::cpu::kernels::coefficients::LIFT;
use crate::cpu::kernels::kept_backward_input::KeptInputTile;
use crate::cpu::kernels::kept_backward_reduce::KeptReduceTile;
use crate::cpu::kernels::kept_normalize::KeptNormalizeTile;
use crate::cpu::kernels::normalize::NormalizeTile;
use crate::cpu::memory::scratch::no_room;
use crate::cpu::reduce::moments::Moments;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::Real;

/// Those of a pass.
#[derive(Debug, Default)]
pub(crate) struct TileKernels {
    /// All of the view, made for the first tile that needs it: it is as long as the batch has places.
    all: OnceLock<Kept>,
}

impl TileKernels {
    /// Normalizes a tile.
    pub(crate) fn normalize<T: KernelElement>(
        &self,
        cpu: &Cpu,
        of: NormalizeTile<'_, '_, T>,
    ) -> Option<Moments> {
        if of.coefficients.are_one(LIFT) {
            return T::normalize(cpu, of);
        }
        T::normalize_kept(
            cpu,
            KeptNormalizeTile {
                view: of.view,
                kept: &self.all_of(of.view),
                coefficients: of.coefficients,
                epilogue: of.epilogue,
                memory: of.memory,
            },
        );
        None
    }

    /// The sums of a tile that the kernel for nearly all cannot take, with dv reduced by [`crate::numeric::Real::REDUCES`] if that is asked
    /// for.
    pub(crate) fn reduce<T: KernelElement>(
        &self,
        cpu: &Cpu,
        of: &ReduceTile<'_, '_, T>,
        reduces: bool,
    ) -> AffineGradients {
        T::reduce_kept(
            cpu,
            KeptReduceTile {
                view: of.view,
                tile: of.tile,
                kept: &self.all_of(of.view),
                dy: of.dy,
                x: of.x,
                coefficients: of.coefficients,
                activation: of.activation,
                reduces,
            },
        )
    }

    /// Writes dx of a tile.
    pub(crate) fn input<T: KernelElement>(
        &self,
        cpu: &Cpu,
        of: InputTile<'_, '_, T>,
    ) -> Option<AffineGradients> {
        let has_second = |&i: &usize| !of.coefficients.are_one(i);
        if !of.activation.finds_v() && !SECOND_FACTORS.iter().any(has_second) {
            return T::input(cpu, of);
        }
        T::input_kept(
            cpu,
            KeptInputTile {
                view: of.view,
                kept: &self.all_of(of.view),
                x: of.x,
                coefficients: of.coefficients,
                of_batch: of.of_batch,
                activation: of.activation,
                memory: of.memory,
            },
        );
        None
    }

    fn all_of<C: Real>(&self, view: &MatrixView) -> KeptOfView<'_, C> {
        let all = || KeptOfView::<C>::all_of(view).unwrap_or_else(|error| no_room(error));
        KeptOfView::unweighted(view, self.all.get_or_init(all))
    }
}
