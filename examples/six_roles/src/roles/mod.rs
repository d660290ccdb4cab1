//! The six roles, one file each.

mod depth;
mod initialization_scale;
mod layer_inputs;
mod learning_rate;
mod regularization;
mod saturation;

use candle_core::Result;

use crate::context::Context;
use crate::report::Report;

/// How many there are.
pub(crate) const COUNT: u8 = 6;

/// Measures the role of this number, from 1 to [`COUNT`].
pub(crate) fn measure(role: u8, context: &Context) -> Result<Report> {
    match role {
        1 => layer_inputs::measure(context),
        2 => learning_rate::measure(context),
        3 => initialization_scale::measure(context),
        4 => depth::measure(context),
        5 => regularization::measure(context),
        6 => saturation::measure(context),
        _ => candle_core::bail!("there are roles 1 to {COUNT}, and no role {role}"),
    }
}
