//! Sums of gradients that leave them few digits or no room: dv that is zero but for one value near the mean, subnormal dv, dv near the
//! largest.

use batchnorm::backend::Backend;
use batchnorm::{Activation, Element, Layout, Shape};
use half::{bf16, f16};

use crate::comparison::{check_backward, close};
use crate::data::{Random, round, with_x};
use crate::reference::Problem;
use crate::run::{How, backward, forward};
use crate::shapes::three_dimensional;
use crate::tolerance::{Additions, compute_roundoff, store};

/// dγ is within this of the textbook's, relatively, where a channel has at most so many values: of one value x − mean is rounded,
/// inv_std, both products and what is stored, each to half a unit, and the mean's low part costs the difference as much again.
const ROUNDINGS: f64 = 8.0;
const FEW: usize = 32;

fn check_one_value<T: Element, B: Backend>(backend: &B, problem: &Problem) {
    for how in [How::Fused, How::Composed] {
        let expected = problem.forward();
        let gradients = problem.backward(&expected, |_| 1.0);
        let answer = forward::<T, B>(backend, problem, how);
        let found = backward::<T, B>(backend, problem, &answer, how, false);
        for c in 0..problem.shape.channels() {
            let truth = gradients.dgamma[c];
            let bound = ROUNDINGS * compute_roundoff::<T>() * truth.abs();
            close("dgamma", problem, c, found.dgamma[c].to_f64(), truth, bound);
        }
    }
}

/// A value and a gradient at one place of a channel, all other gradients zero: as a fuzzer found it.
pub fn one_gradient_near_the_mean_of_three_values_keeps_its_digits<B: Backend>(backend: &B) {
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        for [batch, spatial] in [[3, 1], [1, 3]] {
            let shape = three_dimensional(batch, 1, spatial, layout);
            let x = [-4.177_775_86, 13.638_792_04, 4.786_749_36].map(round::<f32>);
            let mut problem = with_x::<f32>(shape, x.to_vec(), 1);
            problem.dy = vec![0.0, 0.0, round::<f32>(-1.166_678_91)];
            problem.epsilon = 0.5;
            let expected = problem.forward();
            let gradients = problem.backward(&expected, |_| 1.0);
            assert!((gradients.dgamma[0] + 0.005_985_788_3).abs() < 1e-10);
            check_one_value::<f32, B>(backend, &problem);
        }
    }
}

/// The same at the place that is nearest to the mean, of every small number of values.
pub fn one_gradient_near_the_mean_of_few_values_keeps_its_digits<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B, shape: Shape, seed: u64) {
        let mut random = Random::new(seed);
        for mean in [0.0, 100.0] {
            let x = (0..shape.len())
                .map(|_| round::<T>(mean + random.normal()))
                .collect();
            let mut problem = with_x::<T>(shape, x, seed);
            let x_hat = problem.forward().x_hat;
            problem.dy.fill(0.0);
            for c in 0..shape.channels() {
                let nearest = |a: &usize, b: &usize| x_hat[*a].abs().total_cmp(&x_hat[*b].abs());
                let place = problem.channel(c).min_by(nearest).expect("some value");
                problem.dy[place] = round::<T>(random.normal());
            }
            check_one_value::<T, B>(backend, &problem);
        }
    }
    let mut seed = 30;
    for count in 2..=FEW {
        for (channels, spatial) in [(3, 1), (70, 1), (5, 2), (2, 3), (17, 4), (1, count)] {
            if count % spatial != 0 {
                continue;
            }
            for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
                seed += 1;
                let shape = three_dimensional(count / spatial, channels, spatial, layout);
                check::<f32, B>(backend, shape, seed);
                check::<f16, B>(backend, shape, seed);
                check::<bf16, B>(backend, shape, seed);
            }
        }
    }
}

/// Ordinary x, and gradients of this size.
fn with_gradients<T: Element>(shape: Shape, size: f64) -> Problem {
    let mut random = Random::new(50);
    let x = (0..shape.len())
        .map(|_| round::<T>(3.0 + random.normal()))
        .collect();
    let mut problem = with_x::<T>(shape, x, 51);
    for dy in &mut problem.dy {
        *dy = round::<T>(size * random.normal());
    }
    problem
}

fn shapes() -> Vec<Shape> {
    let mut shapes = vec![];
    for (batch, channels, spatial) in [(7, 5, 300), (64, 5, 21), (9, 3, 1)] {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            shapes.push(three_dimensional(batch, channels, spatial, layout));
        }
    }
    shapes
}

/// Their products have more bits than subnormal numbers: the sum is as good as if they kept them.
pub fn subnormal_gradients_lose_no_bits<B: Backend>(backend: &B) {
    // A thousandth of the smallest number for each sum, beside what storing rounds.
    let lost = 2f64.powi(-149 - 10);
    for shape in shapes() {
        for size in [1e-44, 1e-43, 1e-42] {
            let problem = with_gradients::<f32>(shape, size);
            let expected = problem.forward();
            let gradients = problem.backward(&expected, |_| 1.0);
            let answer = forward::<f32, B>(backend, &problem, How::Fused);
            let relative = Additions::of::<f32, B>(backend, &shape).of_products::<f32>()
                + 4.0 * compute_roundoff::<f32>();
            for how in [How::Fused, How::Composed] {
                let found = backward::<f32, B>(backend, &problem, &answer, how, false);
                for c in 0..shape.channels() {
                    let truth = gradients.dgamma[c];
                    let terms = (problem.channel(c))
                        .map(|i| (gradients.dv[i] * expected.x_hat[i]).abs())
                        .sum::<f64>();
                    let bound = store::<f32>(truth) + lost + relative * terms;
                    close(
                        "dgamma",
                        &problem,
                        c,
                        found.dgamma[c].to_f64(),
                        truth,
                        bound,
                    );
                }
            }
        }
    }
}

/// Products that could not be enlarged.
pub fn gradients_near_the_largest<B: Backend>(backend: &B) {
    for shape in shapes() {
        for size in [1e26, 1e30, 1e34] {
            let problem = with_gradients::<f32>(shape, size);
            check_backward::<f32, B>(backend, &problem, How::Fused);
            let problem = with_gradients::<bf16>(shape, size);
            check_backward::<bf16, B>(backend, &problem, How::Composed);
        }
        let problem = with_gradients::<f64>(shape, 1e300);
        check_backward::<f64, B>(backend, &problem, How::Fused);
    }
}

/// Gradients of which a few are beyond the type where they are added up. `all` have one sign, or those of the second half of a channel
/// the other one, where x is as in the first half: then their sums are small.
fn with_gradients_of_one_sign<T: Element>(shape: Shape, all: bool) -> Problem {
    let mut problem = with_gradients::<T>(shape, 1.0);
    let half = (shape.batch() * shape.spatial()).div_ceil(2);
    for c in 0..shape.channels() {
        let places: Vec<usize> = problem.channel(c).collect();
        for (at, &i) in places.iter().enumerate() {
            let is_first = all || at < half;
            let sign = if is_first { 1.0 } else { -1.0 };
            problem.dy[i] = round::<T>(sign * 6e37 * (1.0 + 1e-3 * problem.dy[i]));
            if !is_first {
                problem.x[i] = problem.x[places[at - half]];
            }
        }
    }
    problem
}

/// Sums that no chain of additions in the type has room for, and which are themselves numbers of it.
pub fn gradients_that_overflow_where_they_are_added_up<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B) {
        for shape in shapes() {
            let mut problem = with_gradients_of_one_sign::<T>(shape, false);
            for activation in [Activation::None, Activation::LeakyRelu { slope: 0.5 }] {
                problem.activation = activation;
                for how in [How::Fused, How::Composed] {
                    check_backward::<T, B>(backend, &problem, how);
                }
            }
        }
    }
    check::<f32, B>(backend);
    check::<bf16, B>(backend);
}

/// Sums that are beyond the type are infinite, and dx is what it is. (A GPU has dx only where the parameters' gradients are numbers of
/// the type: its kernels hand the sums on as those.)
pub fn sums_beyond_the_type_cost_no_dx<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B) {
        for shape in shapes() {
            let problem = with_gradients_of_one_sign::<T>(shape, true);
            let expected = problem.forward();
            let gradients = problem.backward(&expected, |_| 1.0);
            let answer = forward::<T, B>(backend, &problem, How::Fused);
            let found = backward::<T, B>(backend, &problem, &answer, How::Fused, false);
            for c in 0..shape.channels() {
                assert_eq!(found.dbeta[c].to_f64(), f64::INFINITY, "{shape}");
                assert_eq!(round::<T::Compute>(gradients.dbeta[c]), f64::INFINITY);
                let is_nan = found.dgamma[c].to_f64().is_nan();
                assert!(!is_nan, "dgamma of {shape}");
                for i in problem.channel(c) {
                    // dv and its mean are 6e37, each rounded.
                    let size = problem.gamma[c].abs() * expected.inv_std[c] * 6e37;
                    let bound = 2f64.powi(-20) * size + store::<T>(gradients.dx[i]);
                    let dx = found.dx[i].to_f64();
                    close("dx", &problem, i, dx, gradients.dx[i], bound);
                }
            }
        }
    }
    check::<f32, B>(backend);
    check::<bf16, B>(backend);
}
