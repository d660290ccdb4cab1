//! A whole array, normalized and quantized.

use crate::backend::operands::Normalization;
use crate::config::quantization::Quantization;
use crate::cpu::Cpu;
use crate::cpu::elementwise::coefficients::Coefficients;
use crate::cpu::epilogue::forward::TileEpilogue;
use crate::cpu::kernels::KernelElement;
use crate::cpu::kernels::coefficients::coefficients_of;
use crate::cpu::kernels::quantize::QuantizeTile;
use crate::cpu::memory::quantized_tile::for_each_quantized_tile;
use crate::cpu::tiling::tile::Tiling;
use crate::numeric::Numeric;

/// Bytes from x, with statistics that are known.
pub(crate) fn normalize_quantized<T: KernelElement>(
    cpu: &Cpu,
    tiling: &Tiling,
    x: &[T],
    with: &Normalization<&[T::Scalar]>,
    epilogue: TileEpilogue<'_, T>,
    quantization: &Quantization,
    q: &mut [i8],
) {
    let view = &tiling.view;
    let coefficients = Coefficients::new(0..view.channels, |channel| {
        let [center, scale, shift, lift] = coefficients_of(with, channel);
        let [factor, zero_point] = quantization
            .factor_and_addend(channel)
            .map(T::Scalar::nearest);
        [center, scale, shift, lift, factor, zero_point]
    });
    let bytes = size_of_val(x);
    for_each_quantized_tile(&cpu.threads, tiling, bytes, q, |memory| {
        T::quantize(
            cpu,
            QuantizeTile {
                view,
                x,
                coefficients: &coefficients,
                epilogue,
                memory,
            },
        );
    });
}
