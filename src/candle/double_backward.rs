//! Second derivatives on candle's tensors, of one data type each.
#![expect(
    unsafe_code,
    reason = "outputs are not filled before a pass writes them"
)]

use candle_core::{Result, Tensor};

use crate::backend::operands::GradientsOfGradients;
use crate::candle::computed::Computed;
use crate::candle::error::wrap;
use crate::candle::memory::{Borrowed, Variable, device_of, memory_dims};
use crate::candle::output::written_by;
use crate::candle::value::Value;
use crate::device::{Device, DeviceSliceMut};
use crate::layer::double_backward::SecondOutputs;
use crate::layer::saved::Saved;
use crate::shape::Layout;

/// Which of a pass's gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GradientOf {
    Input,
    Residual,
    Gamma,
    Beta,
}

/// The gradients of a scalar of one of them.
pub(super) struct SecondGradients {
    /// With respect to x, of its shape.
    pub(super) input: Computed,
    /// The memory order of that.
    pub(super) layout: Layout,
    /// With respect to dy, as that.
    pub(super) dy: Computed,
    /// (C,), of the type that is computed in.
    pub(super) gamma: Computed,
}

/// From the gradient of the scalar with respect to that one; it and dy are in memory order.
pub(super) fn second_gradients<T: Value<Compute: Value>>(
    saved: &Saved<T, Device>,
    x: &Tensor,
    dy: &Tensor,
    of: GradientOf,
    gradient: &Tensor,
) -> Result<SecondGradients> {
    let (candle_device, shape) = (x.device(), saved.shape());
    let device = device_of(candle_device)?;
    let (dy, gradient) = (dy.contiguous()?, gradient.contiguous()?);
    let (borrowed_x, borrowed_dy) = (Borrowed::of(x), Borrowed::of(&dy));
    let (x_values, dy_values) = (borrowed_x.slice()?, borrowed_dy.slice()?);
    let (like_x, of_parameter);
    let mut given = GradientsOfGradients::default();
    match of {
        GradientOf::Input => {
            like_x = Borrowed::of(&gradient);
            given.input = Some(like_x.slice()?);
        }
        GradientOf::Residual => {
            like_x = Borrowed::of(&gradient);
            given.residual = Some(like_x.slice()?);
        }
        GradientOf::Gamma => {
            of_parameter = Variable::of::<T::Compute>(&gradient)?;
            given.gamma = Some(of_parameter.slice()?);
        }
        GradientOf::Beta => {
            of_parameter = Variable::of::<T::Compute>(&gradient)?;
            given.beta = Some(of_parameter.slice()?);
        }
    }
    let write_both = |of_x: DeviceSliceMut<'_, T>| {
        let write = |of_dy: DeviceSliceMut<'_, T>| {
            let outputs = SecondOutputs { dy: of_dy, x: of_x };
            let written = saved.double_backward(&device, x_values, dy_values, &given, outputs);
            written.map_err(wrap)
        };
        // SAFETY: as the next.
        unsafe { written_by(&device, candle_device, shape.len(), write) }
    };
    // SAFETY: the pass reads neither output and writes all of both: tests/double_backward holds them against NaN.
    let made = unsafe { written_by(&device, candle_device, shape.len(), write_both) };
    let (input, (of_dy, gamma)) = made?;
    let in_order = |storage| Computed {
        storage,
        dims: memory_dims(x, shape.layout()),
    };
    Ok(SecondGradients {
        input: in_order(input),
        layout: shape.layout(),
        dy: in_order(of_dy),
        gamma: Computed::of(gamma.into_buffer(), vec![shape.channels()], candle_device)?,
    })
}
