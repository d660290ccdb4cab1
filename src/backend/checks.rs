//! Every length is checked here, before anything is written, whatever the backend.

use std::ops::Range;

use crate::backend::Backend;
use crate::backend::operands::{
    Epilogue, GradientSums, GradientSumsMut, InOut, Normalization, StatisticsMut,
};
use crate::element::{Compute, Element};
use crate::error::{Error, Result};
use crate::shape::Shape;

/// The values lent for writing.
fn len_mut<B: Backend, T: Element>(slice: &B::SliceMut<'_, T>) -> usize {
    B::len(&B::relend(slice))
}

/// That memory of so many values has all of a range.
pub(crate) fn check_part(len: usize, range: &Range<usize>) -> Result<()> {
    if range.start <= range.end && range.end <= len {
        return Ok(());
    }
    Err(Error::Length {
        what: "the memory that a part was asked of",
        found: len,
        needed: range.end.max(range.start),
    })
}

pub(crate) fn check_in_out<B: Backend, T: Element>(
    shape: &Shape,
    input: &'static str,
    output: &'static str,
    in_out: &InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
) -> Result<()> {
    match in_out {
        InOut::Separate(from, to) => {
            shape.check_len(input, B::len(from))?;
            shape.check_len(output, len_mut::<B, T>(to))
        }
        InOut::InPlace(both) => shape.check_len(input, len_mut::<B, T>(both)),
    }
}

pub(crate) fn check_normalization<B: Backend, C: Compute>(
    shape: &Shape,
    with: &Normalization<'_, B, C>,
) -> Result<()> {
    shape.check_channels("mean", B::len(&with.mean))?;
    shape.check_channels("mean_low", B::len(&with.mean_low))?;
    shape.check_channels("inv_std", B::len(&with.inv_std))?;
    shape.check_channels("gamma", B::len(&with.gamma))?;
    shape.check_channels("beta", B::len(&with.beta))
}

pub(crate) fn check_backward<B: Backend, T: Element>(
    shape: &Shape,
    dy_to_dx: &InOut<B::Slice<'_, T>, B::SliceMut<'_, T>>,
    x: &B::Slice<'_, T>,
    with: &Normalization<'_, B, T::Compute>,
    dresidual: Option<&B::SliceMut<'_, T>>,
) -> Result<()> {
    check_in_out::<B, T>(shape, "dy", "dx", dy_to_dx)?;
    shape.check_len("x", B::len(x))?;
    check_normalization(shape, with)?;
    dresidual.map_or(Ok(()), |dresidual| {
        shape.check_len("dresidual", len_mut::<B, T>(dresidual))
    })
}

pub(crate) fn check_residual<B: Backend, T: Element>(
    shape: &Shape,
    epilogue: &Epilogue<'_, B, T>,
) -> Result<()> {
    match epilogue {
        Epilogue::None | Epilogue::Relu => Ok(()),
        Epilogue::Add(residual) | Epilogue::AddRelu(residual, _) => {
            shape.check_len("the residual", B::len(residual))
        }
    }
}

pub(crate) fn check_statistics_out<B: Backend, C: Compute>(
    shape: &Shape,
    out: &StatisticsMut<'_, B, C>,
) -> Result<()> {
    shape.check_channels("the output mean", len_mut::<B, C>(&out.mean))?;
    shape.check_channels("the output mean_low", len_mut::<B, C>(&out.mean_low))?;
    shape.check_channels("the output variance", len_mut::<B, C>(&out.variance))?;
    shape.check_channels("the output inv_std", len_mut::<B, C>(&out.inv_std))?;
    let Some(running) = &out.running else {
        return Ok(());
    };
    shape.check_channels("the running mean", len_mut::<B, C>(&running.mean))?;
    shape.check_channels("the running variance", len_mut::<B, C>(&running.variance))
}

pub(crate) fn check_gradients_out<B: Backend, C: Compute>(
    shape: &Shape,
    out: &GradientSumsMut<'_, B, C>,
) -> Result<()> {
    shape.check_channels("the gradient of gamma", len_mut::<B, C>(&out.gamma))?;
    shape.check_channels("the gradient of beta", len_mut::<B, C>(&out.beta))
}

pub(crate) fn check_sums<B: Backend, C: Compute>(
    shape: &Shape,
    sums: &GradientSums<'_, B, C>,
) -> Result<()> {
    shape.check_channels("the gradient sum of gamma", B::len(&sums.gamma))?;
    shape.check_channels("the gradient sum of beta", B::len(&sums.beta))
}
