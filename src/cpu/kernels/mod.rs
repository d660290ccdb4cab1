//! The kernels, compiled once for each data type and SIMD level: here, and not in every crate that uses this one.

pub(crate) mod backward_input;
pub(crate) mod backward_reduce;
pub(crate) mod centred_statistics;
pub(crate) mod coefficients;
pub(crate) mod double_backward;
pub(crate) mod few_values;
pub(crate) mod gradient_products;
pub(crate) mod kept_backward_input;
pub(crate) mod kept_backward_reduce;
pub(crate) mod kept_normalize;
pub(crate) mod kept_statistics;
pub(crate) mod normalize;
pub(crate) mod quantize;
pub(crate) mod statistics;

use half::{bf16, f16};

use crate::cpu::Cpu;
use crate::cpu::kernels::backward_input::InputTile;
use crate::cpu::kernels::backward_reduce::{AffineGradients, ReduceTile};
use crate::cpu::kernels::centred_statistics::CentredMoments;
use crate::cpu::kernels::double_backward::DoubleBackwardTile;
use crate::cpu::kernels::gradient_products::{GradientProducts, ProductsTile};
use crate::cpu::kernels::kept_backward_input::KeptInputTile;
use crate::cpu::kernels::kept_backward_reduce::KeptReduceTile;
use crate::cpu::kernels::kept_normalize::KeptNormalizeTile;
use crate::cpu::kernels::kept_statistics::{KeptCentredMoments, KeptMoments};
use crate::cpu::kernels::normalize::NormalizeTile;
use crate::cpu::kernels::quantize::QuantizeTile;
use crate::cpu::kernels::statistics::{FirstLook, TileMoments};
use crate::cpu::per_type::per_type;
use crate::cpu::reduce::moments::Moments;
use crate::cpu::simd::elements::SimdElement;

per_type! {
    [f32, f64, f16, bf16];
    /// A data type that the kernels are compiled for. Sealed: only this crate can name it.
    pub trait KernelElement: SimdElement {
        /// Moments of a tile's channels, or how to take them.
        fn moments(cpu: &Cpu, kernel: TileMoments<'_, Self>) -> FirstLook {
            cpu.dispatch.run(kernel)
        }
        /// The same once more, where these are doubtful.
        fn centred_moments(cpu: &Cpu, kernel: CentredMoments<'_, Self>) -> Moments {
            cpu.dispatch.run(kernel)
        }
        /// y of a tile, and the moments of the next.
        fn normalize(cpu: &Cpu, kernel: NormalizeTile<'_, '_, Self>) -> Option<Moments> {
            cpu.dispatch.run(kernel)
        }
        /// The bytes of a tile.
        fn quantize(cpu: &Cpu, kernel: QuantizeTile<'_, Self>) {
            cpu.dispatch.run(kernel);
        }
        /// Gradient sums of a tile's channels.
        fn reduce(cpu: &Cpu, kernel: ReduceTile<'_, '_, Self>) -> AffineGradients {
            cpu.dispatch.run(kernel)
        }
        /// dx of a tile, and the gradient sums of the next.
        fn input(cpu: &Cpu, kernel: InputTile<'_, '_, Self>) -> Option<AffineGradients> {
            cpu.dispatch.run(kernel)
        }
        /// Σ u·g of a tile's channels.
        fn products(cpu: &Cpu, kernel: ProductsTile<'_, Self>) -> GradientProducts {
            cpu.dispatch.run(kernel)
        }
        /// Second derivatives of a tile.
        fn second_gradients(cpu: &Cpu, kernel: DoubleBackwardTile<'_, '_, Self>) {
            cpu.dispatch.run(kernel);
        }
        /// Moments of what is kept of a tile's channels, or how to take them.
        fn kept_moments(cpu: &Cpu, kernel: KeptMoments<'_, Self>) -> FirstLook {
            cpu.dispatch.run(kernel)
        }
        /// The same once more, where these are doubtful.
        fn kept_centred_moments(cpu: &Cpu, kernel: KeptCentredMoments<'_, Self>) -> Moments {
            cpu.dispatch.run(kernel)
        }
        /// y of a tile of which not all is kept.
        fn normalize_kept(cpu: &Cpu, kernel: KeptNormalizeTile<'_, '_, Self>) {
            cpu.dispatch.run(kernel);
        }
        /// Gradient sums of what is kept of a tile's channels.
        fn reduce_kept(cpu: &Cpu, kernel: KeptReduceTile<'_, '_, Self>) -> AffineGradients {
            cpu.dispatch.run(kernel)
        }
        /// dx of a tile of which not all is kept.
        fn input_kept(cpu: &Cpu, kernel: KeptInputTile<'_, '_, Self>) {
            cpu.dispatch.run(kernel);
        }
    }
}
