//! Σ dv·x̂ and Σ dv of a tile, as good as the data type allows.
//!
//! The products are taken enlarged by a power of two, which rounds nothing: those of subnormal dv would lose bits, or vanish. Where
//! either sum is not finite then, for a few dv near the largest overflow where they are added up, both are taken again of dv that are
//! reduced by one.

use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::Normalization;
use crate::cpu::Cpu;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::kept::of_view::KeptOfView;
use crate::cpu::kernels::KernelElement;
use crate::cpu::kernels::backward_reduce::{
    self, ALL_SUM_COEFFICIENTS, AffineGradients, Gradient, ReduceTile, SUM_LIFT,
};
use crate::cpu::kernels::kept_backward_reduce::KeptReduceTile;
use crate::cpu::memory::slice::RawSlice;
use crate::cpu::steps::tile_kernels::TileKernels;
use crate::cpu::tiling::tile::Tile;
use crate::cpu::tiling::view::MatrixView;
use crate::numeric::Real;

/// What the reduction of a tile takes beside dy.
pub(crate) struct Reduction<'a, T: KernelElement> {
    view: &'a MatrixView,
    x: &'a [T],
    with: Normalization<&'a [T::Scalar]>,
    activation: ActivationBackward<&'a [u8], &'a [T]>,
    /// With products enlarged.
    coefficients: Coefficients<T::Scalar, ALL_SUM_COEFFICIENTS>,
    kernels: TileKernels,
}

impl<'a, T: KernelElement> Reduction<'a, T> {
    pub(crate) fn new(
        view: &'a MatrixView,
        x: &'a [T],
        with: Normalization<&'a [T::Scalar]>,
        activation: ActivationBackward<&'a [u8], &'a [T]>,
    ) -> Self {
        let coefficients =
            backward_reduce::coefficients(&with, 0..view.channels, enlargement_of::<T::Scalar>);
        Self {
            view,
            x,
            with,
            activation,
            coefficients,
            kernels: TileKernels::default(),
        }
    }

    /// Whether the kernel for nearly all tiles can take the sums: where v is neither found of y nor recomputed with a lift.
    pub(crate) fn is_plain(&self) -> bool {
        let is_lifted = || self.activation.recomputes_v() && !self.coefficients.are_one(SUM_LIFT);
        !self.activation.finds_v() && !is_lifted()
    }

    /// The kernel whose sums [`Reduction::of_tile`] takes.
    pub(crate) fn enlarged<'s, 'm>(
        &'s self,
        tile: &'s Tile,
        dy: Gradient<'s, 'm, T>,
    ) -> ReduceTile<'s, 'm, T> {
        self.kernel(tile, dy, &self.coefficients)
    }

    fn kernel<'s, 'm>(
        &'s self,
        tile: &'s Tile,
        dy: Gradient<'s, 'm, T>,
        coefficients: &'s Coefficients<T::Scalar, ALL_SUM_COEFFICIENTS>,
    ) -> ReduceTile<'s, 'm, T> {
        ReduceTile {
            view: self.view,
            tile,
            dy,
            x: RawSlice::new(self.x),
            coefficients,
            activation: self.activation,
        }
    }

    /// The sums of a tile's channels, which may have been taken, enlarged, while the tile before was written.
    pub(crate) fn of_tile(
        &self,
        cpu: &Cpu,
        tile: &Tile,
        dy: Gradient<'_, '_, T>,
        taken: Option<AffineGradients>,
    ) -> AffineGradients {
        let sums = taken.unwrap_or_else(|| {
            let kernel = self.enlarged(tile, dy);
            if self.is_plain() {
                T::reduce(cpu, kernel)
            } else {
                self.kernels.reduce(cpu, &kernel, false)
            }
        });
        self.settled(tile, sums, |coefficients| {
            self.kernels
                .reduce(cpu, &self.kernel(tile, dy, coefficients), true)
        })
    }

    /// The sums of what is kept of a tile's channels.
    pub(crate) fn of_kept(
        &self,
        cpu: &Cpu,
        tile: &Tile,
        kept: &KeptOfView<'_, T::Scalar>,
        dy: Gradient<'_, '_, T>,
    ) -> AffineGradients {
        let sums = |coefficients: &Coefficients<T::Scalar, ALL_SUM_COEFFICIENTS>, reduces| {
            T::reduce_kept(
                cpu,
                KeptReduceTile {
                    view: self.view,
                    tile,
                    kept,
                    dy,
                    x: RawSlice::new(self.x),
                    coefficients,
                    activation: self.activation,
                    reduces,
                },
            )
        };
        let enlarged = sums(&self.coefficients, false);
        self.settled(tile, enlarged, |coefficients| sums(coefficients, true))
    }

    /// Enlarged sums as they are, and where they have overflowed, taken again of dv that are reduced.
    fn settled(
        &self,
        tile: &Tile,
        mut sums: AffineGradients,
        reduced: impl Fn(&Coefficients<T::Scalar, ALL_SUM_COEFFICIENTS>) -> AffineGradients,
    ) -> AffineGradients {
        let channels = tile.channels(self.view);
        for (dgamma, c) in sums.dgamma.iter_mut().zip(channels.clone()) {
            *dgamma /= enlargement_of(self.with.inv_std[c]);
        }
        if sums.are_finite() {
            return sums;
        }
        let coefficients = backward_reduce::coefficients(&self.with, channels, |_| 1.0);
        sums.replace_not_finite(&reduced(&coefficients), T::Scalar::REDUCES);
        sums
    }
}

/// What the products of a channel are enlarged by: by nothing, where inv_std has no room for it.
fn enlargement_of<C: Real>(inv_std: C) -> f64 {
    if inv_std.value().abs() * C::ENLARGES_PRODUCTS <= C::LARGEST {
        C::ENLARGES_PRODUCTS
    } else {
        1.0
    }
}
