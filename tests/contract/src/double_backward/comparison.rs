//! Second derivatives held against the textbook.
//!
//! To first order a rounding error is a part of the terms that it is made in, and all of a formula's terms without their signs are a
//! magnitude: the bound is a share of that, and what storing rounds. With the bounds of `tolerance.rs` for the parts, the longest term, γ·r²·x̂·p·q,
//! has three sums of products (p, q and, in a, another), inv_std five times (r twice, and once in each x̂), and at most 24 more roundings. The
//! mean's error is in every x̂, however small: x̂ is taken for larger by so much, over the share.

use batchnorm::Element;
use batchnorm::backend::Backend;

use crate::comparison::{check_forward, close};
use crate::double_backward::answer::{SecondAnswer, double_backward};
use crate::double_backward::textbook::{self, Given, Second};
use crate::reference::{Forward, Problem, slope_of};
use crate::run::How;
use crate::tolerance::{Additions, Tolerance, compute_roundoff, store};

/// Forward and twice backward, held against the textbook.
pub(crate) fn check<T: Element, B: Backend>(backend: &B, problem: &Problem, given: &Given) {
    let (answer, forward) = check_forward::<T, B>(backend, problem, How::Fused);
    let (result, found) = double_backward::<T, B>(backend, problem, &answer, given);
    result.unwrap();
    hold::<T, B>(backend, problem, (&answer.y, &forward), given, &found);
}

/// Holds second derivatives against the textbook. `y` is what the forward pass stored, `forward` what the textbook has there.
pub(crate) fn hold<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    (y, forward): (&[T], &Forward),
    given: &Given,
    found: &SecondAnswer<T>,
) {
    let additions = Additions::of::<T, B>(backend, &problem.shape);
    let tolerance = Tolerance {
        problem,
        forward,
        additions,
    };
    let u = compute_roundoff::<T>();
    let share = |c: usize| {
        let inv_std = tolerance.inv_std::<T>(c) / forward.inv_std[c];
        3.0 * additions.of_products::<T>() + 5.0 * inv_std + 24.0 * u
    };
    let more_x_hat = |c: usize| {
        let of_mean = tolerance.mean::<T>(c) + u * forward.mean[c].abs();
        of_mean * forward.inv_std[c] / share(c)
    };
    // A value within rounding of a kink may fall on either side: that of the y that was stored.
    let slope = |i: usize| match y[i].to_f64() {
        y if y <= 0.0 => slope_of(problem.activation, -1.0),
        y if y >= 6.0 => slope_of(problem.activation, 7.0),
        _ => slope_of(problem.activation, 1.0),
    };
    let expected = textbook::double_backward(problem, forward, given, slope, more_x_hat, share);
    for c in 0..problem.shape.channels() {
        let bound = |second: &Second, i: usize| share(c) * second.magnitudes[i];
        for i in problem.channel(c) {
            for (what, second, found) in [
                ("of dy", &expected.dy, found.dy[i]),
                ("of x", &expected.x, found.x[i]),
            ] {
                let value = second.values[i];
                let bound = bound(second, i) + store::<T>(value);
                close(what, problem, i, found.to_f64(), value, bound);
            }
        }
        let value = expected.gamma.values[c];
        let bound = bound(&expected.gamma, c) + store::<T::Compute>(value);
        close(
            "of gamma",
            problem,
            c,
            found.gamma[c].to_f64(),
            value,
            bound,
        );
    }
}
