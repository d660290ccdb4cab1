//! Data of somebody who knows which values a backend looks at first: values unlike all others on every grid there may be.

use batchnorm::backend::Backend;
use batchnorm::{Element, Layout, Shape};

use crate::comparison::close;
use crate::data::{Random, round, wide, with_x};
use crate::reference::Problem;
use crate::run::{How, forward};
use crate::shapes::three_dimensional;
use crate::tolerance::{Additions, compute_roundoff, excess_of_squares};

/// Large and narrow planes, rows of channels, and long channels that are cut into many tiles.
fn shapes() -> Vec<Shape> {
    let mut shapes = vec![];
    for (batch, channels, spatial) in [(3, 2, 2048), (40, 5, 49), (1, 1, 70_000)] {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            shapes.push(three_dimensional(batch, channels, spatial, layout));
        }
    }
    shapes
}

/// x of the values of each channel in order, counted from zero.
fn in_order<T: Element>(shape: Shape, value: impl Fn(&mut Random, usize) -> f64) -> Problem {
    let mut random = Random::new(21);
    let mut x = vec![0.0; shape.len()];
    for n in 0..shape.batch() {
        for c in 0..shape.channels() {
            for s in 0..shape.spatial() {
                let i = n * shape.spatial() + s;
                x[shape.index(n, c, s)] = round::<T>(value(&mut random, i));
            }
        }
    }
    with_x::<T>(shape, x, 22)
}

/// Variance and y are as good as two passes would make them in the type that is computed in, about the mean, whatever the values: a
/// term goes through as many additions as the backend makes, or through log₂ M as in sums of pairs if that is more, and a
/// handful of roundings follow. A mean, however large, costs nothing.
fn check<T: Element, B: Backend>(backend: &B, problem: &Problem) {
    let shape = &problem.shape;
    let roundoff = compute_roundoff::<T>();
    let of_pairs = (shape.values_per_channel() as f64).log2().ceil() * roundoff;
    let of_backend = Additions::of::<T, B>(backend, shape).of_products::<T>();
    let relative = of_pairs.max(of_backend) + 6.0 * roundoff;
    // Where sums end, in the type that is computed in or a wider one.
    let of_wide = (of_pairs / roundoff + 48.0) * f64::EPSILON / 2.0;
    let expected = problem.forward();
    let answer = forward::<T, B>(backend, problem, How::Fused);
    let of_statistics = |which: usize| {
        let statistics = B::as_slice(&answer.statistics[which]);
        wide(&backend.download::<T::Compute>(statistics).unwrap())
    };
    let variance = of_statistics(2);
    for c in 0..shape.channels() {
        let first = problem.channel(c).next().map_or(0.0, |i| problem.x[i]);
        let excess = excess_of_squares(backend, first, expected.mean[c], expected.variance[c]);
        let relative = relative + of_wide * excess;
        let bound = relative * expected.variance[c];
        close(
            "variance",
            problem,
            c,
            variance[c],
            expected.variance[c],
            bound,
        );
        for i in problem.channel(c) {
            let terms = (problem.gamma[c] * expected.x_hat[i]).abs() + problem.beta[c].abs();
            // What rounding the mean to two numbers leaves.
            let of_mean = compute_roundoff::<T>().powi(2) * expected.mean[c].abs();
            let bound = relative * terms + (problem.gamma[c] * expected.inv_std[c]).abs() * of_mean;
            close("y", problem, i, answer.y[i].to_f64(), expected.y[i], bound);
        }
    }
}

pub fn values_on_any_grid_cost_no_digits<B: Backend>(backend: &B) {
    for shape in shapes() {
        let count = shape.values_per_channel();
        // Every power of two is a grid of some tile, of a sixteenth of it, or of its rows.
        for step in (0..17).map(|bits| 1 << bits).filter(|&step| step <= count) {
            for first in [0, step / 2] {
                let spikes = |size: f64| {
                    move |random: &mut Random, i: usize| {
                        if i % step == first && step > 1 {
                            size
                        } else {
                            random.normal()
                        }
                    }
                };
                check::<f32, B>(backend, &in_order::<f32>(shape, spikes(1e7)));
                check::<f64, B>(backend, &in_order::<f64>(shape, spikes(-1e15)));
            }
        }
    }
}

pub fn a_border_of_zeros_costs_no_digits<B: Backend>(backend: &B) {
    for shape in shapes() {
        for width in [7, 16, 32, 49, 64] {
            let problem = in_order::<f32>(shape, |random, i| {
                if i % width == 0 {
                    0.0
                } else {
                    1e4 + random.normal()
                }
            });
            check::<f32, B>(backend, &problem);
        }
    }
}

pub fn one_value_unlike_the_others_costs_no_digits<B: Backend>(backend: &B) {
    for shape in shapes() {
        let count = shape.values_per_channel();
        for place in [0, count / 2, count - 1] {
            let problem = in_order::<f32>(
                shape,
                |random, i| {
                    if i == place { 1e8 } else { random.normal() }
                },
            );
            check::<f32, B>(backend, &problem);
        }
    }
}

pub fn a_mean_of_any_size_costs_no_digits<B: Backend>(backend: &B) {
    for shape in shapes() {
        for mean in [1e9, -1e12] {
            let problem = in_order::<f64>(shape, |random, _| mean + random.normal());
            check::<f64, B>(backend, &problem);
        }
        let problem = in_order::<f32>(shape, |random, _| 1e5 + random.normal());
        check::<f32, B>(backend, &problem);
    }
}
