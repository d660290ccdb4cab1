//! The operands in the words of the CPU's kernels; and the results on their way to the caller's memory.

use crate::backend::epilogue::{ActivationBackward, Epilogue};
use crate::backend::operands::{GradientSumsMut, StatisticsMut};
use crate::backend::saved_activation::SavedActivation;
use crate::cpu::CpuMask;
use crate::cpu::epilogue::forward;
use crate::cpu::kernels::backward_reduce;
use crate::cpu::reduce::finalize;
use crate::numeric::Real;

/// What the kernels do to v, and what of it they save.
pub(crate) fn epilogue_of<'a, T>(
    epilogue: Epilogue<&'a [T], &'a mut CpuMask, &'a mut [T]>,
) -> (
    forward::TileEpilogue<'a, T>,
    SavedActivation<&'a mut [u8], &'a mut [T]>,
) {
    let Epilogue {
        activation,
        residual,
        saved,
    } = epilogue;
    let saved = saved.map_mask(|mask| &mut *mask.0);
    let epilogue = forward::TileEpilogue {
        residual,
        activation,
    };
    (epilogue, saved)
}

/// Where the kernels find the derivative.
pub(crate) fn activation_of<'a, T>(
    backward: ActivationBackward<&'a CpuMask, &'a [T]>,
) -> ActivationBackward<&'a [u8], &'a [T]> {
    ActivationBackward {
        activation: backward.activation,
        saved: backward.saved.map_mask(|mask| &*mask.0),
    }
}

pub(crate) fn write_statistics<C: Real>(
    finished: &finalize::Finalized<C>,
    out: &mut StatisticsMut<&mut [C]>,
) {
    out.mean.copy_from_slice(&finished.mean);
    out.mean_low.copy_from_slice(&finished.mean_low);
    out.variance.copy_from_slice(&finished.variance);
    out.inv_std.copy_from_slice(&finished.inv_std);
}

pub(crate) fn write_gradients<C: Real>(
    sums: &backward_reduce::AffineGradients,
    out: &mut GradientSumsMut<&mut [C]>,
) {
    for (to, from) in out.gamma.iter_mut().zip(sums.dgamma.iter()) {
        *to = C::nearest(*from);
    }
    for (to, from) in out.beta.iter_mut().zip(sums.dbeta.iter()) {
        *to = C::nearest(*from);
    }
}
