//! Every length is checked here, before anything is written; and the results go to the caller's memory from here.

use super::gate::Gate;
use super::tiles::Matrix;
use super::{Cpu, Normalization, backward_reduce, finish, normalize};
use crate::backend::{self, Epilogue, GradientSumsMut, InOut, StatisticsMut};
use crate::shape::check_len;
use crate::{Compute, Element, Result, Shape};

pub(super) fn check_in_out<T>(
    shape: &Shape,
    input: &'static str,
    output: &'static str,
    in_out: &InOut<&[T], &mut [T]>,
) -> Result<()> {
    match in_out {
        InOut::Separate(from, to) => {
            shape.check_len(input, from.len())?;
            shape.check_len(output, to.len())
        }
        InOut::InPlace(both) => shape.check_len(input, both.len()),
    }
}

pub(super) fn check_normalization<C: Compute>(
    shape: &Shape,
    with: &Normalization<'_, C>,
) -> Result<()> {
    shape.check_channels("mean", with.mean.len())?;
    shape.check_channels("mean_low", with.mean_low.len())?;
    shape.check_channels("inv_std", with.inv_std.len())?;
    shape.check_channels("gamma", with.gamma.len())?;
    shape.check_channels("beta", with.beta.len())
}

pub(super) fn check_backward<T: Element>(
    shape: &Shape,
    dy_to_dx: &InOut<&[T], &mut [T]>,
    x: &[T],
    with: &Normalization<'_, T::Compute>,
    dresidual: Option<&[T]>,
) -> Result<()> {
    check_in_out(shape, "dy", "dx", dy_to_dx)?;
    shape.check_len("x", x.len())?;
    check_normalization(shape, with)?;
    dresidual.map_or(Ok(()), |dresidual| {
        shape.check_len("dresidual", dresidual.len())
    })
}

pub(super) fn check_epilogue<'a, T: Element>(
    shape: &Shape,
    matrix: &Matrix,
    epilogue: Epilogue<'a, Cpu, T>,
) -> Result<(normalize::Epilogue<'a, T>, Option<&'a mut [u8]>)> {
    let (residual, relu, mask) = match epilogue {
        Epilogue::None => (None, false, None),
        Epilogue::Relu => (None, true, None),
        Epilogue::Add(residual) => (Some(residual), false, None),
        Epilogue::AddRelu(residual, mask) => (Some(residual), true, mask),
    };
    if let Some(residual) = residual {
        shape.check_len("the residual", residual.len())?;
    }
    if let Some(mask) = &mask {
        check_len("the mask (in bytes)", mask.0.len(), matrix.mask_bytes())?;
    }
    Ok((
        normalize::Epilogue { residual, relu },
        mask.map(|mask| mask.0.as_mut_slice()),
    ))
}

pub(super) fn check_gate<'a>(matrix: &Matrix, gate: backend::Gate<'a, Cpu>) -> Result<Gate<'a>> {
    Ok(match gate {
        backend::Gate::Open => Gate::Open,
        backend::Gate::Relu => Gate::Recomputed,
        backend::Gate::Mask(mask) => {
            check_len("the mask (in bytes)", mask.0.len(), matrix.mask_bytes())?;
            Gate::Marked(&mask.0)
        }
    })
}

pub(super) fn check_statistics_out<C: Compute>(
    shape: &Shape,
    out: &StatisticsMut<'_, Cpu, C>,
) -> Result<()> {
    shape.check_channels("the output mean", out.mean.len())?;
    shape.check_channels("the output mean_low", out.mean_low.len())?;
    shape.check_channels("the output variance", out.variance.len())?;
    shape.check_channels("the output inv_std", out.inv_std.len())
}

pub(super) fn check_gradients_out<C: Compute>(
    shape: &Shape,
    out: &GradientSumsMut<'_, Cpu, C>,
) -> Result<()> {
    shape.check_channels("the gradient of gamma", out.gamma.len())?;
    shape.check_channels("the gradient of beta", out.beta.len())
}

pub(super) fn write_statistics<C: Compute>(
    finished: &finish::Finished<C>,
    out: &mut StatisticsMut<'_, Cpu, C>,
) {
    out.mean.copy_from_slice(&finished.mean);
    out.mean_low.copy_from_slice(&finished.mean_low);
    out.variance.copy_from_slice(&finished.variance);
    out.inv_std.copy_from_slice(&finished.inv_std);
}

pub(super) fn write_gradients<C: Compute>(
    sums: &backward_reduce::Sums,
    out: &mut GradientSumsMut<'_, Cpu, C>,
) {
    for (to, from) in out.gamma.iter_mut().zip(&sums.gamma) {
        *to = C::from_f64(*from);
    }
    for (to, from) in out.beta.iter_mut().zip(&sums.beta) {
        *to = C::from_f64(*from);
    }
}
