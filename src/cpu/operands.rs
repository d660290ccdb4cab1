//! The operands in the words of the CPU's kernels; and the results on their way to the caller's memory.

use crate::backend::epilogue::{Activation, ActivationBackward, Epilogue, SavedActivation};
use crate::backend::operands::{GradientSumsMut, StatisticsMut};
use crate::cpu::epilogue::backward_mask::Gate;
use crate::cpu::kernels::backward_reduce;
use crate::cpu::reduce::finalize;
use crate::cpu::{CpuMask, epilogue};
use crate::element::Compute;

/// What the kernels do to v, and the mask that they write.
pub(crate) fn epilogue_of<'a, T>(
    epilogue: Epilogue<&'a [T], &'a mut CpuMask, &'a mut [T]>,
) -> (epilogue::Epilogue<'a, T>, Option<&'a mut [u8]>) {
    let relu = match epilogue.activation {
        Activation::None => false,
        Activation::Relu => true,
    };
    let mask = match epilogue.saved {
        SavedActivation::Mask(mask) => Some(mask.0.as_mut_slice()),
        // No activation of today saves its values (Activation::saves).
        SavedActivation::Nothing | SavedActivation::PreActivation(_) => None,
    };
    let residual = epilogue.residual;
    (epilogue::Epilogue { residual, relu }, mask)
}

/// Where the kernels find the derivative.
pub(crate) fn gate_of<'a, T>(backward: ActivationBackward<&'a CpuMask, &'a [T]>) -> Gate<'a> {
    match (backward.activation, backward.saved) {
        (Activation::None, _) => Gate::Open,
        (Activation::Relu, SavedActivation::Mask(mask)) => Gate::Marked(&mask.0),
        (Activation::Relu, SavedActivation::Nothing | SavedActivation::PreActivation(_)) => {
            Gate::Recomputed
        }
    }
}

pub(crate) fn write_statistics<C: Compute>(
    finished: &finalize::Finished<C>,
    out: &mut StatisticsMut<&mut [C]>,
) {
    out.mean.copy_from_slice(&finished.mean);
    out.mean_low.copy_from_slice(&finished.mean_low);
    out.variance.copy_from_slice(&finished.variance);
    out.inv_std.copy_from_slice(&finished.inv_std);
}

pub(crate) fn write_gradients<C: Compute>(
    sums: &backward_reduce::Sums,
    out: &mut GradientSumsMut<&mut [C]>,
) {
    for (to, from) in out.gamma.iter_mut().zip(sums.gamma.iter()) {
        *to = C::from_f64(*from);
    }
    for (to, from) in out.beta.iter_mut().zip(sums.beta.iter()) {
        *to = C::from_f64(*from);
    }
}
