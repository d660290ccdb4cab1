//! The operands that are the CPU's own, checked; and the results on their way to the caller's memory.

use crate::backend;
use crate::backend::checks::check_residual;
use crate::backend::operands::{Epilogue, GradientSumsMut, StatisticsMut};
use crate::config::Activation;
use crate::cpu::Cpu;
use crate::cpu::epilogue::backward::ActivationBackward;
use crate::cpu::epilogue::forward;
use crate::cpu::epilogue::saved::Saved;
use crate::cpu::kernels::backward_reduce;
use crate::cpu::reduce::finalize;
use crate::cpu::tiling::view::MatrixView;
use crate::element::{Compute, Element};
use crate::error::Result;
use crate::shape::{Shape, check_len};

/// What a forward pass saves, in the caller's memory.
type SavedMut<'a, T> = Saved<&'a mut [u8], &'a mut [T]>;

pub(crate) fn check_epilogue<'a, T: Element>(
    shape: &Shape,
    matrix: &MatrixView,
    epilogue: Epilogue<'a, Cpu, T>,
) -> Result<(forward::Epilogue<'a, T>, SavedMut<'a, T>)> {
    check_residual(shape, &epilogue)?;
    let (residual, activation, mask) = match epilogue {
        Epilogue::None => (None, Activation::None, None),
        Epilogue::Relu => (None, Activation::Relu, None),
        Epilogue::Add(residual) => (Some(residual), Activation::None, None),
        Epilogue::AddRelu(residual, mask) => (Some(residual), Activation::Relu, mask),
    };
    if let Some(mask) = &mask {
        check_len("the mask (in bytes)", mask.0.len(), matrix.mask_bytes())?;
    }
    Ok((
        forward::Epilogue {
            residual,
            activation,
        },
        mask.map_or(Saved::Nothing, |mask| Saved::Mask(mask.0.as_mut_slice())),
    ))
}

pub(crate) fn check_gate<'a, T: Element>(
    matrix: &MatrixView,
    gate: backend::Gate<'a, Cpu>,
) -> Result<ActivationBackward<'a, T>> {
    let (activation, saved) = match gate {
        backend::Gate::Open => (Activation::None, Saved::Nothing),
        backend::Gate::Relu => (Activation::Relu, Saved::Nothing),
        backend::Gate::Mask(mask) => {
            check_len("the mask (in bytes)", mask.0.len(), matrix.mask_bytes())?;
            (Activation::Relu, Saved::Mask(mask.0.as_slice()))
        }
    };
    Ok(ActivationBackward { activation, saved })
}

pub(crate) fn write_statistics<C: Compute>(
    finished: &finalize::Finalized<C>,
    out: &mut StatisticsMut<'_, Cpu, C>,
) {
    out.mean.copy_from_slice(&finished.mean);
    out.mean_low.copy_from_slice(&finished.mean_low);
    out.variance.copy_from_slice(&finished.variance);
    out.inv_std.copy_from_slice(&finished.inv_std);
}

pub(crate) fn write_gradients<C: Compute>(
    sums: &backward_reduce::AffineGradients,
    out: &mut GradientSumsMut<'_, Cpu, C>,
) {
    for (to, from) in out.gamma.iter_mut().zip(sums.dgamma.iter()) {
        *to = C::from_f64(*from);
    }
    for (to, from) in out.beta.iter_mut().zip(sums.dbeta.iter()) {
        *to = C::from_f64(*from);
    }
}
