//! Second derivatives: what is checked before any are computed.

use crate::backend::activation::Activation;
use crate::backend::checks::{check_reduce, len_mut};
use crate::backend::epilogue::ActivationBackward;
use crate::backend::operands::{GradientsOfGradients, Normalization, SecondGradientsMut};
use crate::backend::saved_activation::SavedActivation;
use crate::backend::steps::Steps;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// Every length, and that the activation has second derivatives here.
pub(super) fn check_double_backward<B: Steps, T: Element>(
    shape: &Shape,
    dy: &B::Slice<'_, T>,
    x: &B::Slice<'_, T>,
    with: &Normalization<B::Slice<'_, T::Compute>>,
    activation: &ActivationBackward<&B::Mask, B::Slice<'_, T>>,
    of: &GradientsOfGradients<B::Slice<'_, T>, B::Slice<'_, T::Compute>>,
    out: &SecondGradientsMut<B::SliceMut<'_, T>, B::SliceMut<'_, T::Compute>>,
) -> Result<()> {
    check_reduce::<B, T>(shape, dy, x, with, activation)?;
    check_has_second_derivatives(activation.activation)?;
    if matches!(activation.saved, SavedActivation::Output(_)) {
        return Err(Error::Value {
            what: "what a pass kept whose second derivatives are asked for",
            found: "y".to_owned(),
            needed: "x: they are not found from y",
        });
    }
    if let Some(input) = &of.input {
        shape.check_len("the gradient of dx", B::len::<T>(input))?;
    }
    if let Some(residual) = &of.residual {
        let found = B::len::<T>(residual);
        shape.check_len("the gradient of the residual's gradient", found)?;
    }
    if let Some(gamma) = &of.gamma {
        let found = B::len::<T::Compute>(gamma);
        shape.check_per_channel("the gradient of dgamma", found)?;
    }
    if let Some(beta) = &of.beta {
        let found = B::len::<T::Compute>(beta);
        shape.check_per_channel("the gradient of dbeta", found)?;
    }
    shape.check_len("the second gradient of dy", len_mut::<B, T>(&out.dy))?;
    shape.check_len("the second gradient of x", len_mut::<B, T>(&out.x))?;
    let gamma = len_mut::<B, T::Compute>(&out.gamma);
    shape.check_per_channel("the second gradient of gamma", gamma)
}

/// That there are second derivatives of a pass with this activation.
pub(crate) fn check_has_second_derivatives(activation: Activation) -> Result<()> {
    if activation.has_second_derivatives() {
        return Ok(());
    }
    Err(Error::Value {
        what: "the activation of a pass whose second derivatives are asked for",
        found: activation.to_string(),
        needed: "none, relu, relu6 or leaky_relu",
    })
}
