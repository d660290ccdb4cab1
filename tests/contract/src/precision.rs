//! Data that hurts.

use batchnorm::backend::{Activation, Backend, Epilogue, InOut, Normalization};
use batchnorm::{DType, Element, Layout, Shape};
use half::{bf16, f16};

use crate::comparison::{check_backward, check_forward, close};
use crate::data::{Random, add_residual, add_running, ordinary, round, wide, with_x};
use crate::reference::Problem;
use crate::run::{How, backward, forward};
use crate::shapes::{streamed, three_dimensional};
use crate::tolerance::Additions;

/// One shape by units, one by columns, and their channels-last forms.
fn shapes() -> Vec<Shape> {
    let mut shapes = vec![];
    for (batch, channels, spatial) in [(7, 5, 300), (64, 5, 21)] {
        shapes.push(three_dimensional(
            batch,
            channels,
            spatial,
            Layout::ChannelsFirst,
        ));
        shapes.push(three_dimensional(
            batch,
            channels,
            spatial,
            Layout::ChannelsLast,
        ));
    }
    shapes
}

/// x from (n, c, s) and a source of chance.
fn filled<T: Element>(
    shape: Shape,
    mut value: impl FnMut(&mut Random, usize, usize, usize) -> f64,
) -> Problem {
    let mut random = Random::new(11);
    let mut x = vec![0.0; shape.len()];
    for n in 0..shape.batch() {
        for c in 0..shape.channels() {
            for s in 0..shape.spatial() {
                x[shape.index(n, c, s)] = round::<T>(value(&mut random, n, c, s));
            }
        }
    }
    with_x::<T>(shape, x, 12)
}

pub fn a_large_mean_costs_no_digits<B: Backend>(backend: &B) {
    for shape in shapes() {
        for (mean, deviation) in [(1e4, 1e-2), (1e6, 1.0), (-3e5, 7.0)] {
            let problem =
                filled::<f32>(shape, |random, _, _, _| mean + deviation * random.normal());
            check_backward::<f32, B>(backend, &problem, How::Fused);
            let problem =
                filled::<f64>(shape, |random, _, _, _| mean + deviation * random.normal());
            check_backward::<f64, B>(backend, &problem, How::Fused);
        }
    }
}

pub fn a_constant_gives_exactly_beta<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B, value: f64) {
        for shape in shapes() {
            let problem = filled::<T>(shape, |_, _, c, _| value / (1 + c) as f64);
            let answer = forward::<T, B>(backend, &problem, How::Fused);
            let variance = wide(
                &backend
                    .download::<T::Compute>(B::as_slice(&answer.statistics[2]))
                    .unwrap(),
            );
            assert!(
                variance.iter().all(|&variance| variance == 0.0),
                "{variance:?}"
            );
            for c in 0..shape.channels() {
                for i in problem.channel(c) {
                    assert_eq!(
                        answer.y[i].to_f64(),
                        round::<T>(problem.beta[c]),
                        "{} of {shape}",
                        T::DTYPE
                    );
                }
            }
        }
    }
    for value in [0.1, -3.7e4, 65504.0, 0.0] {
        check::<f32, B>(backend, value);
        check::<f64, B>(backend, value);
        check::<f16, B>(backend, value);
        check::<bf16, B>(backend, value);
    }
    check::<f32, B>(backend, 3e38);
    check::<bf16, B>(backend, 3e38);
}

/// The first value is one of the 16 that the shift is the mean of, which moves the shift by a sixteenth of it.
pub fn an_outlier_first_costs_no_digits<B: Backend>(backend: &B) {
    let outlier = 1e6;
    for shape in shapes() {
        let problem = filled::<f32>(shape, |random, n, _, s| {
            if n + s == 0 {
                outlier
            } else {
                1.0 + random.normal()
            }
        });
        let expected = problem.forward();
        let of_squares = Additions::of::<f32, B>(backend, &shape).of_products::<f32>();
        let answer = forward::<f32, B>(backend, &problem, How::Fused);
        let variance = wide(
            &backend
                .download::<f32>(B::as_slice(&answer.statistics[2]))
                .unwrap(),
        );
        for c in 0..shape.channels() {
            let from_shift = (outlier / 16.0).powi(2);
            let bound = (of_squares + 2.0 * 2f64.powi(-24)) * (expected.variance[c] + from_shift)
                + 1e-7 * expected.variance[c];
            close(
                "variance",
                &problem,
                c,
                variance[c],
                expected.variance[c],
                bound,
            );
        }
    }
}

pub fn drifting_images_cost_no_digits<B: Backend>(backend: &B) {
    for shape in shapes() {
        let problem = filled::<f32>(shape, |random, n, _, _| 1e3 * n as f64 + random.normal());
        check_backward::<f32, B>(backend, &problem, How::Fused);
    }
}

pub fn values_near_the_largest<B: Backend>(backend: &B) {
    for shape in shapes() {
        let problem = filled::<f16>(shape, |random, _, _, _| 65504.0 - 4000.0 * random.uniform());
        check_backward::<f16, B>(backend, &problem, How::Fused);
        let problem = filled::<f16>(shape, |random, _, _, _| {
            65504.0 * (2.0 * random.uniform() - 1.0).signum()
        });
        check_backward::<f16, B>(backend, &problem, How::Fused);
        // Squares and sums of these overflow f32; three of four are positive, so that x − mean does too.
        let large = |random: &mut Random| {
            (2.5e38 + 8e37 * random.uniform()) * (random.uniform() - 0.25).signum()
        };
        check_large::<bf16, B>(
            backend,
            &filled::<bf16>(shape, |random, _, _, _| large(random)),
        );
        check_large::<f32, B>(
            backend,
            &filled::<f32>(shape, |random, _, _, _| large(random)),
        );
        let problem = filled::<f32>(shape, |random, _, _, _| 1e30 * random.normal());
        check_backward::<f32, B>(backend, &problem, How::Fused);
    }
}

/// inv_std is a subnormal here, of some 20 bits: y and dγ are good to 2⁻¹⁹ of what they are made of.
fn check_large<T: Element, B: Backend>(backend: &B, problem: &Problem) {
    let expected = problem.forward();
    let answer = forward::<T, B>(backend, problem, How::Fused);
    let gradients = problem.backward(&expected, |_| 1.0);
    let found = backward::<T, B>(backend, problem, &answer, How::Fused, false);
    let roundoff = if problem.shape.is_empty() || T::DTYPE == batchnorm::DType::BF16 {
        2f64.powi(-8)
    } else {
        0.0
    };
    for c in 0..problem.shape.channels() {
        for i in problem.channel(c) {
            let size = 2.0 * problem.gamma[c].abs() * (expected.x_hat[i].abs() + 1.0)
                + problem.beta[c].abs();
            let bound = 2f64.powi(-19) * size + roundoff * expected.y[i].abs();
            close("y", problem, i, answer.y[i].to_f64(), expected.y[i], bound);
        }
        let size: f64 = problem
            .channel(c)
            .map(|i| (problem.dy[i] * (expected.x_hat[i].abs() + 1.0)).abs())
            .sum();
        close(
            "dgamma",
            problem,
            c,
            found.dgamma[c].to_f64(),
            gradients.dgamma[c],
            2f64.powi(-18) * size,
        );
    }
}

pub fn values_near_the_smallest<B: Backend>(backend: &B) {
    for shape in shapes() {
        let problem = filled::<f32>(shape, |random, _, _, _| 1e-41 * random.normal());
        check_backward::<f32, B>(backend, &problem, How::Fused);
        let problem = filled::<f16>(shape, |random, _, _, _| 3e-7 * random.normal());
        check_backward::<f16, B>(backend, &problem, How::Fused);
        let problem = filled::<bf16>(shape, |random, _, _, _| 1e-39 * random.normal());
        check_backward::<bf16, B>(backend, &problem, How::Fused);
        // Squares of these vanish in f32, and the variance is far above epsilon all the same.
        let mut problem = filled::<f32>(shape, |random, _, _, _| 1e-25 * random.normal());
        problem.epsilon = 1e-60;
        check_backward::<f32, B>(backend, &problem, How::Fused);
    }
}

/// Shapes of so many channels that a backend sums in each of its ways: large planes, small ones, and no planes; few values and many.
fn shapes_of_channels(channels: usize) -> Vec<Shape> {
    let mut shapes = vec![];
    for (batch, spatial) in [(3, 300), (64, 21), (3, 5), (70, 1)] {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            shapes.push(three_dimensional(batch, channels, spatial, layout));
        }
    }
    shapes
}

/// A power of ten to a channel, about a mean that is none, small or large beside it. An epsilon above all of their squares leaves
/// them in y as they are, which shows what rounding adds to them where β is zero; one below most makes y of ordinary size.
pub fn deviations_of_any_size<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(
        backend: &B,
        powers: std::ops::RangeInclusive<i32>,
        step: usize,
    ) {
        let deviations: Vec<f64> = powers
            .step_by(step)
            .map(|power| 10f64.powi(power))
            .collect();
        for shape in shapes_of_channels(deviations.len()) {
            let mut problem = filled::<T>(shape, |random, _, c, _| {
                deviations[c] * ([0.0, 0.01, 2.0][c % 3] + random.normal())
            });
            for beta in problem.beta.iter_mut().step_by(2) {
                *beta = 0.0;
            }
            // With the smaller one dx would be beyond the largest f16.
            let smallest = (T::DTYPE != DType::F16).then_some(f64::from(f32::MIN_POSITIVE));
            for epsilon in [Some(1e-5), smallest].into_iter().flatten() {
                problem.epsilon = epsilon;
                check_backward::<T, B>(backend, &problem, How::Fused);
            }
        }
    }
    check::<f32, B>(backend, -44..=37, 1);
    check::<bf16, B>(backend, -39..=37, 1);
    check::<f16, B>(backend, -7..=4, 1);
    check::<f64, B>(backend, -140..=140, 4);
}

/// Those that a backend looks at first say that squares are of ordinary size, and those between them have squares that no number can
/// hold; and the same with their neighbours in the place of those that are looked at.
pub fn small_deviations_between_ordinary_ones<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B, small: &[f64]) {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            let shape = three_dimensional(2, small.len(), 16 * 196, layout);
            for first in [0, 1, 195] {
                let mut problem = filled::<T>(shape, |random, _, c, s| match s % 392 {
                    at if at == first => 1.0,
                    at if at == 196 + first => -1.0,
                    _ => small[c] * random.normal(),
                });
                problem.beta.fill(0.0);
                check_backward::<T, B>(backend, &problem, How::Fused);
            }
        }
    }
    check::<f32, B>(
        backend,
        &[0.0, 1e-10, 3e-18, 1e-21, 1e-25, 1e-30, 1e-37, 1e-41],
    );
    check::<f64, B>(
        backend,
        &[0.0, 1e-20, 1e-140, 1e-155, 1e-161, 1e-200, 1e-305],
    );
}

pub fn epsilon_tiny_and_large<B: Backend>(backend: &B) {
    for shape in shapes() {
        for epsilon in [1e-30, 1e-12, 1.0, 1e10] {
            let mut problem = ordinary::<f32>(shape, 3);
            problem.epsilon = epsilon;
            check_backward::<f32, B>(backend, &problem, How::Fused);
        }
    }
}

pub fn gamma_zero_and_negative<B: Backend>(backend: &B) {
    for shape in shapes() {
        let mut problem = ordinary::<f32>(shape, 4);
        problem.gamma = vec![0.0, -1.0, 0.0, -0.5, 2.0];
        problem.activation = Activation::Relu;
        check_backward::<f32, B>(backend, &problem, How::Fused);
        let answer = forward::<f32, B>(backend, &problem, How::Fused);
        let found = backward::<f32, B>(backend, &problem, &answer, How::Fused, false);
        assert!(
            problem
                .channel(0)
                .all(|i| f64::from(answer.y[i]) == problem.beta[0].max(0.0) && found.dx[i] == 0.0)
        );
    }
}

/// The answer with one value of channel 1 replaced must be the answer without, in every other channel to the bit.
fn stays_in_its_channel<B: Backend>(backend: &B, value: f64) {
    for shape in shapes() {
        let clean = ordinary::<f32>(shape, 6);
        let mut dirty = clean.clone();
        let places: Vec<usize> = dirty.channel(1).collect();
        dirty.x[places[places.len() / 3]] = value;
        let (a, b) = (
            forward::<f32, B>(backend, &clean, How::Fused),
            forward::<f32, B>(backend, &dirty, How::Fused),
        );
        let (da, db) = (
            backward::<f32, B>(backend, &clean, &a, How::Fused, false),
            backward::<f32, B>(backend, &dirty, &b, How::Fused, false),
        );
        let expected = dirty.forward();
        let mean = backend
            .download::<f32>(B::as_slice(&b.statistics[0]))
            .unwrap();
        for c in 0..shape.channels() {
            for i in clean.channel(c) {
                if c == 1 {
                    assert!(expected.y[i].is_nan() && b.y[i].is_nan() && db.dx[i].is_nan());
                } else {
                    assert_eq!(
                        (a.y[i].to_bits(), da.dx[i].to_bits()),
                        (b.y[i].to_bits(), db.dx[i].to_bits())
                    );
                }
            }
            if c == 1 {
                close("mean", &dirty, c, f64::from(mean[c]), expected.mean[c], 0.0);
                assert!(db.dgamma[c].is_nan() && db.dbeta[c] == da.dbeta[c]);
            } else {
                assert_eq!(
                    (da.dgamma[c].to_bits(), da.dbeta[c].to_bits()),
                    (db.dgamma[c].to_bits(), db.dbeta[c].to_bits())
                );
            }
        }
    }
}

pub fn nan_stays_in_its_channel<B: Backend>(backend: &B) {
    stays_in_its_channel(backend, f64::NAN);
}

pub fn infinity_stays_in_its_channel<B: Backend>(backend: &B) {
    stays_in_its_channel(backend, f64::INFINITY);
    stays_in_its_channel(backend, f64::NEG_INFINITY);
    // With statistics that are given, an infinity stays where it is.
    for shape in shapes() {
        let mut problem = ordinary::<f32>(shape, 6);
        add_running::<f32>(&mut problem, 7);
        problem.x[3] = f64::INFINITY;
        problem.x[20] = f64::NEG_INFINITY;
        check_forward::<f32, B>(backend, &problem, How::Fused);
    }
}

pub fn relu_passes_nan_on<B: Backend>(backend: &B) {
    for shape in shapes() {
        for residual in [false, true] {
            let mut problem = ordinary::<f32>(shape, 6);
            add_running::<f32>(&mut problem, 7);
            problem.activation = Activation::Relu;
            if residual {
                add_residual::<f32>(&mut problem, 8);
            }
            problem.x[5] = f64::NAN;
            let answer = forward::<f32, B>(backend, &problem, How::Fused);
            let found = backward::<f32, B>(backend, &problem, &answer, How::Fused, false);
            assert!(answer.y[5].is_nan() && found.dx[5] != 0.0 && !answer.y[6].is_nan());
        }
    }
}

/// Around half the smallest half, y is stored as zero or not, and its gradient must be cut off or not.
pub fn relu_agrees_with_what_was_stored<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B, smallest: f64) {
        for residual in [false, true] {
            let shape = Shape::channels_first(&[3, 2, 100]).unwrap();
            let mut problem = filled::<T>(shape, |random, _, _, _| random.normal());
            problem.running = Some((vec![0.0; 2], vec![1.0; 2]));
            problem.epsilon = 0.0;
            problem.gamma = vec![round::<T::Compute>(smallest); 2];
            problem.beta = vec![0.0; 2];
            problem.dy = vec![1.0; shape.len()];
            problem.activation = Activation::Relu;
            if residual {
                problem.residual = Some(vec![0.0; shape.len()]);
            }
            let answer = forward::<T, B>(backend, &problem, How::Fused);
            let found = backward::<T, B>(backend, &problem, &answer, How::Fused, false);
            let dbeta: f64 = found.dbeta.iter().map(|dbeta| dbeta.to_f64()).sum();
            let stored = answer.y.iter().filter(|y| y.to_f64() > 0.0).count();
            assert!(
                stored > 50 && stored < 250,
                "{stored} of 600 values are not zero"
            );
            assert_eq!(
                dbeta,
                stored as f64,
                "{} with residual: {residual}",
                T::DTYPE
            );
        }
    }
    check::<f16, B>(backend, 2f64.powi(-24));
    check::<bf16, B>(backend, 2f64.powi(-133));
}

/// Every value of 16 bits, less a mean that leaves all 24 bits of an `f32` in use: nothing but the rounding is inexact.
pub fn halves_are_rounded_to_the_nearest<B: Backend>(backend: &B) {
    halves_are_rounded(backend, f16::from_bits, f16::is_nan);
    halves_are_rounded(backend, bf16::from_bits, bf16::is_nan);
}

fn halves_are_rounded<T: Element<Compute = f32>, B: Backend>(
    backend: &B,
    of_bits: impl Fn(u16) -> T,
    is_nan: impl Fn(T) -> bool,
) {
    for shape in shapes().into_iter().chain(streamed(size_of::<T>())) {
        let mut random = Random::new(5);
        let means: Vec<f32> = (0..shape.channels())
            .map(|_| f32::from_f64(random.normal()))
            .collect();
        let (mut x, mut expected, mut bits) = (vec![], vec![], 0u16);
        let channel = |at: usize| match shape.layout() {
            Layout::ChannelsFirst => at / shape.spatial() % shape.channels(),
            Layout::ChannelsLast => at % shape.channels(),
        };
        for at in 0..shape.len() {
            x.push(of_bits(bits));
            bits = bits.wrapping_add(40_503); // odd: it comes past every value
            let centred = f32::from_f64(x[at].to_f64()) - means[channel(at)];
            expected.push(T::from_f64(f64::from(centred)));
        }
        let of_channel = |value: f32| backend.upload(&vec![value; shape.channels()]).unwrap();
        let (x, mean) = (backend.upload(&x).unwrap(), backend.upload(&means).unwrap());
        let (zeros, ones) = (of_channel(0.0), of_channel(1.0));
        let mut y = backend.zeros(shape.len()).unwrap();
        let with = Normalization {
            mean: B::as_slice(&mean),
            mean_low: B::as_slice(&zeros),
            inv_std: B::as_slice(&ones),
            gamma: B::as_slice(&ones),
            beta: B::as_slice(&zeros),
        };
        let x_to_y = InOut::Separate(B::as_slice(&x), B::as_slice_mut(&mut y));
        backend
            .normalize::<T>(&shape, x_to_y, with, Epilogue::of(Activation::None))
            .unwrap();
        let y = backend.download(B::as_slice(&y)).unwrap();
        for at in 0..shape.len() {
            let same = y[at] == expected[at] || is_nan(y[at]) && is_nan(expected[at]);
            assert!(same, "{shape} at {at}: {:?} for {:?}", y[at], expected[at]);
        }
    }
}
