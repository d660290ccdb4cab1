//! Batches of which not all is kept, against the textbook: of the kept places alone, each as often as it weighs.
//!
//! A batch in which a place is w times as if it weighs w: mean, variance and y are the same; with dy at the first of them and zero at the
//! others dβ and dγ are, and dx is the sum of theirs. So the textbook needs no formula of weights, and weights are multiples of a quarter
//! here, which no type rounds. To the bounds a weight adds the rounding of each term's product with it, and to dx two more: of so many parts
//! as there are, not more than half of what is allowed already.

use batchnorm::backend::Backend;
use batchnorm::{Activation, Cpu, Element, Error, Kept, Shape};
use half::{bf16, f16};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use crate::activation_error::{ActivationError, is_computed};
use crate::comparison::{ForwardAnswer, close};
use crate::data::{Random, add_residual, add_running, ordinary, round, typed, with_x};
use crate::determinism::lower_levels_that_round_alike;
use crate::forward::with_each_epilogue;
use crate::reference::{Problem, slope_of};
use crate::run::{Answer, BackwardAnswer, How, backward_of, forward_by, forward_of};
use crate::shapes;
use crate::tolerance::{Additions, Tolerance};

/// How a batch is kept in part.
#[derive(Debug, Clone, Copy)]
enum Way {
    Scattered,
    Lengths,
    Weights,
}

const WAYS: [Way; 3] = [Way::Scattered, Way::Lengths, Way::Weights];

/// How many quarters each place weighs, of at least two places something.
fn quarters(shape: &Shape, way: Way, seed: u64) -> Vec<usize> {
    let mut random = SplitMix64::seed_from_u64(seed);
    let (samples, positions) = (shape.batch(), shape.spatial());
    let mut below =
        |n: usize| usize::try_from(random.next_u64() % (n as u64 + 1)).expect("at most n");
    let mut quarters = vec![0; samples * positions];
    for sample in quarters.chunks_mut(positions) {
        let length = below(positions);
        // Some samples have long runs without a place.
        let dense = below(3);
        for (s, quarter) in sample.iter_mut().enumerate() {
            *quarter = match way {
                Way::Scattered => 4 * usize::from(below(3) < dense),
                Way::Lengths => 4 * usize::from(s < length),
                Way::Weights => below(6) * usize::from(below(3) <= dense),
            };
        }
    }
    let last = quarters.len() - 1;
    for place in match way {
        Way::Lengths => [0, 1.min(last)],
        _ => [last, last / 2],
    } {
        quarters[place] = quarters[place].max(4);
    }
    if last > 0 && matches!(way, Way::Weights) {
        quarters[0] = 3;
    }
    quarters
}

/// A problem, and what is kept of it.
struct KeptProblem {
    problem: Problem,
    kept: Kept,
    quarters: Vec<usize>,
}

impl KeptProblem {
    fn of<T: Element>(mut problem: Problem, way: Way, seed: u64) -> Self {
        let quarters = quarters(&problem.shape, way, seed);
        let shape = &problem.shape;
        let kept = match way {
            Way::Weights => {
                let weights: Vec<f64> = quarters.iter().map(|&q| q as f64 / 4.0).collect();
                Kept::weights(shape, &weights)
            }
            Way::Scattered => {
                let places: Vec<bool> = quarters.iter().map(|&q| q > 0).collect();
                Kept::places(shape, &places)
            }
            Way::Lengths => {
                let lengths = quarters.chunks(shape.spatial());
                let lengths: Vec<usize> = lengths
                    .map(|sample| sample.iter().filter(|&&q| q > 0).count())
                    .collect();
                Kept::lengths(shape, &lengths)
            }
        };
        // What stands at the other places is anything.
        let garbage = [f64::NAN, f64::INFINITY, -1e30, 3.0].map(round::<T>);
        for (i, value) in garbage.into_iter().cycle().take(shape.len()).enumerate() {
            if quarters[place_of(shape, i)] == 0 {
                problem.x[i] = value;
                problem.dy[i] = -value;
                if let Some(residual) = &mut problem.residual {
                    residual[i] = value;
                }
            }
        }
        Self {
            kept: kept.unwrap(),
            problem,
            quarters,
        }
    }

    /// The kept places alone, each as often as it has quarters: channels last, and for each of them its value of the problem's.
    fn textbook(&self) -> (Problem, Vec<Option<usize>>) {
        let shape = &self.problem.shape;
        let channels = shape.channels();
        let mut origin = vec![];
        let unit = if self.quarters.iter().all(|q| q.is_multiple_of(4)) {
            4
        } else {
            1
        };
        for (place, &quarters) in self.quarters.iter().enumerate() {
            let (n, s) = (place / shape.spatial(), place % shape.spatial());
            for copy in 0..quarters / unit {
                origin.extend((0..channels).map(|c| (shape.index(n, c, s), copy == 0)));
            }
        }
        let all = |values: &[f64]| origin.iter().map(|&(i, _)| values[i]).collect();
        let problem = Problem {
            shape: Shape::channels_last(&[origin.len() / channels, channels]).unwrap(),
            x: all(&self.problem.x),
            residual: self.problem.residual.as_deref().map(all),
            dy: (origin.iter())
                .map(|&(i, is_first)| if is_first { self.problem.dy[i] } else { 0.0 })
                .collect(),
            ..self.problem.clone()
        };
        let firsts = origin
            .into_iter()
            .map(|(i, is_first)| is_first.then_some(i))
            .collect();
        (problem, firsts)
    }
}

/// The place (n, s), counted through, of a value.
fn place_of(shape: &Shape, index: usize) -> usize {
    let (channels, spatial) = (shape.channels(), shape.spatial());
    match shape.layout() {
        batchnorm::Layout::ChannelsFirst => {
            index / (channels * spatial) * spatial + index % spatial
        }
        batchnorm::Layout::ChannelsLast => index / channels,
    }
}

fn run<T: Element>(
    cpu: &Cpu,
    given: &KeptProblem,
    how: How,
    in_place: bool,
) -> (Answer<T, Cpu>, BackwardAnswer<T>) {
    let (problem, kept) = (&given.problem, Some(&given.kept));
    let answer = forward_of::<T, Cpu>(cpu, problem, kept, how);
    let gradients = backward_of::<T, Cpu>(cpu, problem, kept, &answer, how, in_place);
    (answer, gradients)
}

fn check<T: Element>(cpu: &Cpu, given: &KeptProblem, how: How) {
    let (answer, gradients) = run::<T>(cpu, given, how, false);
    let again = run::<T>(cpu, given, how, true).1;
    assert_eq!(again, gradients, "in place");
    for (i, y) in answer.y.iter().enumerate() {
        if given.quarters[place_of(&given.problem.shape, i)] == 0 {
            let dresidual = gradients
                .dresidual
                .as_ref()
                .map_or(0.0, |of| of[i].to_f64());
            let found = [y.to_f64(), gradients.dx[i].to_f64(), dresidual];
            assert_eq!(found, [0.0; 3], "{i} of {}, not kept", given.problem.shape);
        }
    }
    let (problem, firsts) = given.textbook();
    let forward = problem.forward();
    let additions = Additions::of::<T, Cpu>(cpu, &given.problem.shape).of_weighted_terms();
    let tolerance = Tolerance {
        problem: &problem,
        forward: &forward,
        additions,
    };
    let found = ForwardAnswer::<T>::of(cpu, &answer);
    let [mean, variance, inv_std] = &found.statistics;
    let error = ActivationError::of::<T>(&problem, &forward);
    // As `comparison.rs` has it.
    let y_of = |i: usize| firsts[i].map(|of| answer.y[of].to_f64());
    let slope = |i: usize| match problem.activation {
        activation if is_computed(activation) => slope_of(activation, forward.v[i]),
        activation if y_of(i).is_some_and(|y| y <= 0.0) => slope_of(activation, -1.0),
        activation => slope_of(activation, 1.0),
    };
    let expected = problem.backward(&forward, slope);
    for c in 0..problem.shape.channels() {
        if problem.running.is_none() {
            let bound = tolerance.mean::<T>(c);
            close("mean", &problem, c, mean[c], forward.mean[c], bound);
            let bound = tolerance.variance::<T>(c);
            close(
                "variance",
                &problem,
                c,
                variance[c],
                forward.variance[c],
                bound,
            );
        }
        let bound = tolerance.inv_std::<T>(c);
        close(
            "inv_std",
            &problem,
            c,
            inv_std[c],
            forward.inv_std[c],
            bound,
        );
        let bound = tolerance.gradients::<T>(c, &expected);
        let of_activation = error.gradients::<T>(c, |i| tolerance.y::<T>(c, i));
        let of_gamma = bound.dgamma + of_activation.dgamma;
        let (dgamma, dbeta) = (gradients.dgamma[c].to_f64(), gradients.dbeta[c].to_f64());
        close("dgamma", &problem, c, dgamma, expected.dgamma[c], of_gamma);
        let of_beta = bound.dbeta + of_activation.dbeta;
        close("dbeta", &problem, c, dbeta, expected.dbeta[c], of_beta);
        let mut places = problem.channel(c).peekable();
        while let Some(i) = places.next() {
            let at = firsts[i].unwrap();
            let of_y = error.y::<T>(i, tolerance.y::<T>(c, i));
            let y = answer.y[at].to_f64();
            close("y", &problem, i, y, forward.y[i], of_y);
            let of_dx = |i: usize| {
                let of_dv = error.dv::<T>(i, tolerance.y::<T>(c, i));
                1.5 * bound.dx::<T>(expected.dv[i], forward.x_hat[i], expected.dx[i])
                    + of_activation.dx(of_dv, forward.x_hat[i])
            };
            let (mut dx, mut allowed) = (expected.dx[i], of_dx(i));
            while let Some(copy) = places.next_if(|&i| firsts[i].is_none()) {
                dx += expected.dx[copy];
                allowed += of_dx(copy);
            }
            close("dx", &problem, i, gradients.dx[at].to_f64(), dx, allowed);
            if let Some(dresidual) = &gradients.dresidual {
                let allowed = error.stored_dv::<T>(i, tolerance.y::<T>(c, i));
                let found = dresidual[at].to_f64();
                close("dresidual", &problem, i, found, expected.dv[i], allowed);
            }
        }
    }
}

fn check_shapes<T: Element>(cpu: &Cpu, shapes: impl IntoIterator<Item = Shape>, is_frozen: bool) {
    for (seed, shape) in shapes.into_iter().enumerate() {
        let mut problem = ordinary::<T>(shape, seed as u64);
        if is_frozen {
            add_running::<T>(&mut problem, 9);
        }
        with_each_epilogue::<T>(problem, |problem| {
            let way = WAYS[seed % 3];
            let given = KeptProblem::of::<T>(problem.clone(), way, seed as u64);
            let how = if seed % 5 == 4 {
                How::Composed
            } else {
                How::Fused
            };
            check::<T>(cpu, &given, how);
        });
    }
}

fn small_and_ranks(step: usize) -> impl Iterator<Item = Shape> {
    let has_two = |shape: &Shape| shape.values_per_channel() > 2;
    (shapes::small().into_iter().filter(has_two))
        .step_by(step)
        .chain(shapes::ranks())
}

pub fn what_is_kept_matches_the_textbook_in_f32(cpu: &Cpu) {
    check_shapes::<f32>(cpu, small_and_ranks(1), false);
}

pub fn what_is_kept_matches_the_textbook_in_f16(cpu: &Cpu) {
    check_shapes::<f16>(cpu, small_and_ranks(4), false);
}

pub fn what_is_kept_matches_the_textbook_in_bf16(cpu: &Cpu) {
    check_shapes::<bf16>(cpu, small_and_ranks(4), false);
}

pub fn what_is_kept_matches_the_textbook_in_f64(cpu: &Cpu) {
    check_shapes::<f64>(cpu, small_and_ranks(2), false);
}

pub fn what_is_kept_matches_the_textbook_frozen(cpu: &Cpu) {
    check_shapes::<f32>(cpu, small_and_ranks(5), true);
    check_shapes::<bf16>(cpu, small_and_ranks(11), true);
}

pub fn computed_activations_of_what_is_kept_match_the_textbook(cpu: &Cpu) {
    for (seed, shape) in small_and_ranks(13).enumerate() {
        for activation in [Activation::Silu, Activation::Gelu] {
            let mut problem = ordinary::<f32>(shape, seed as u64);
            problem.activation = activation;
            let given = KeptProblem::of::<f32>(problem.clone(), WAYS[seed % 3], 5);
            check::<f32>(cpu, &given, How::Fused);
            add_residual::<f32>(&mut problem, 5);
            let given = KeptProblem::of::<f32>(problem, WAYS[seed % 3], 5);
            check::<f32>(cpu, &given, How::Fused);
        }
    }
}

/// The large shape, and its index, with each way of what is kept.
fn large() -> impl Iterator<Item = (usize, Shape, Way)> {
    let shapes = shapes::large().into_iter().enumerate();
    shapes.map(|(seed, shape)| (seed, shape, WAYS[seed % 3]))
}

pub fn what_is_kept_of_large_arrays_matches_the_textbook(cpu: &Cpu) {
    for (seed, shape, way) in large() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        problem.activation = Activation::Relu;
        add_residual::<f32>(&mut problem, 3);
        let given = KeptProblem::of::<f32>(problem, way, seed as u64);
        check::<f32>(cpu, &given, How::Fused);
    }
    for shape in shapes::streamed(2) {
        let given = KeptProblem::of::<bf16>(ordinary::<bf16>(shape, 1), Way::Scattered, 1);
        check::<bf16>(cpu, &given, How::Fused);
    }
}

/// Values about a mean of so many deviations.
fn about<T: Element>(shape: Shape, mean: f64, deviation: f64) -> Problem {
    let mut random = Random::new(4);
    let x = (0..shape.len())
        .map(|_| round::<T>(mean + deviation * random.normal()))
        .collect();
    with_x::<T>(shape, x, 6)
}

pub fn large_means_of_what_is_kept_cost_no_digits(cpu: &Cpu) {
    for shape in shapes::ranks().into_iter().chain([
        Shape::channels_first(&[7, 3, 500]).unwrap(),
        Shape::channels_last(&[1200, 5]).unwrap(),
    ]) {
        for way in WAYS {
            let given = KeptProblem::of::<f32>(about::<f32>(shape, -3e3, 1.0), way, 3);
            check::<f32>(cpu, &given, How::Fused);
            let given = KeptProblem::of::<f64>(about::<f64>(shape, 1e8, 1.0), way, 3);
            check::<f64>(cpu, &given, How::Fused);
        }
    }
}

/// Statistics alone, for nothing else has bounds there: squares of these are beyond the type on either side.
pub fn deviations_of_any_size_of_what_is_kept(cpu: &Cpu) {
    for shape in [
        Shape::channels_first(&[7, 3, 500]).unwrap(),
        Shape::channels_first(&[40, 5, 9]).unwrap(),
        Shape::channels_last(&[2200, 5]).unwrap(),
        Shape::channels_last(&[5, 4]).unwrap(),
    ] {
        for deviation in [1e-30, 1e-12, 1e18, 1e30] {
            for way in WAYS {
                let mut problem = about::<f32>(shape, 0.0, deviation);
                problem.epsilon = f64::from(f32::MIN_POSITIVE);
                let given = KeptProblem::of::<f32>(problem, way, 3);
                let answer =
                    forward_of::<f32, Cpu>(cpu, &given.problem, Some(&given.kept), How::Fused);
                let found = ForwardAnswer::<f32>::of(cpu, &answer).statistics;
                let expected = given.textbook().0.forward();
                for c in 0..shape.channels() {
                    let off = (found[0][c] - expected.mean[c]).abs();
                    assert!(
                        off <= 1e-5 * deviation,
                        "{shape} {deviation:e}: mean off by {off:e}"
                    );
                    let ratio = found[2][c] / expected.inv_std[c];
                    assert!((ratio - 1.0).abs() < 1e-5, "{shape} {deviation:e}: {ratio}");
                }
            }
        }
    }
}

/// Everything that comes of a batch that is kept in part.
type Everything = (Vec<Vec<f32>>, Vec<f32>, BackwardAnswer<f32>);

fn everything(cpu: &Cpu, given: &KeptProblem) -> Everything {
    let (answer, gradients) = run::<f32>(cpu, given, How::Fused, false);
    let statistics = answer.statistics.iter().map(|array| array.to_vec());
    (statistics.collect(), answer.y, gradients)
}

fn large_problem(seed: usize, shape: Shape, way: Way) -> KeptProblem {
    let mut problem = ordinary::<f32>(shape, seed as u64);
    problem.activation = Activation::Relu;
    add_residual::<f32>(&mut problem, 9);
    KeptProblem::of::<f32>(problem, way, seed as u64)
}

pub fn threads_change_no_bit_of_what_is_kept(cpu: &Cpu) {
    let with_threads = |threads| {
        let cpu_of = Cpu::with_threads(threads).unwrap();
        cpu_of.at_level(cpu.level()).unwrap()
    };
    for (seed, shape, way) in large() {
        let given = large_problem(seed, shape, way);
        let one = everything(&with_threads(1), &given);
        for threads in [2, 7] {
            let found = everything(&with_threads(threads), &given);
            assert_eq!(found, one, "{shape}, {threads} threads");
        }
    }
}

pub fn levels_agree_in_what_is_kept(cpu: &Cpu) {
    for other in lower_levels_that_round_alike(cpu) {
        for (seed, shape, way) in large() {
            let given = large_problem(seed, shape, way);
            assert_eq!(
                everything(&other, &given),
                everything(cpu, &given),
                "{shape}"
            );
        }
    }
}

/// A pass with given statistics: one over the batch has none to take.
pub fn nothing_kept_gives_zeros(cpu: &Cpu) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        problem.activation = Activation::Relu;
        add_residual::<f32>(&mut problem, 9);
        add_running::<f32>(&mut problem, 9);
        problem.x.fill(f64::NAN);
        let kept = Kept::lengths(&shape, &vec![0; shape.batch()]).unwrap();
        let answer = forward_of::<f32, Cpu>(cpu, &problem, Some(&kept), How::Fused);
        let found = backward_of(cpu, &problem, Some(&kept), &answer, How::Fused, false);
        assert!(answer.y.iter().chain(&found.dx).all(|&value| value == 0.0));
        assert!(found.dresidual.unwrap().iter().all(|&value| value == 0.0));
        assert!(
            found
                .dgamma
                .iter()
                .chain(&found.dbeta)
                .all(|&value| value == 0.0)
        );
    }
}

/// On the processor as the other checks have it; what a device cannot do it says, and has written nothing.
pub fn a_device_keeps_a_part_or_writes_nothing<B: Backend>(backend: &B) {
    let shape = Shape::channels_first(&[3, 2, 5]).unwrap();
    let problem = ordinary::<f32>(shape, 1);
    let kept = Kept::lengths(&shape, &[5, 2, 3]).unwrap();
    let mut refused = None;
    let answer = forward_by::<f32, B>(backend, &problem, None, |given| {
        let batch = (&shape, &kept);
        let (x, affine, epilogue) = (given.x, given.affine, given.epilogue);
        let found = backend.forward_training::<f32>(batch, x, affine, epilogue, given.y, given.out);
        refused = found.err();
        Ok(())
    });
    match refused {
        None => {
            let expected = forward_of::<f32, Cpu>(&Cpu::new(), &problem, Some(&kept), How::Fused);
            for (found, expected) in answer.y.iter().zip(expected.y) {
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
        Some(error) => {
            assert!(matches!(error, Error::Value { .. }), "{error}");
            assert_eq!(answer.y, typed::<f32>(&vec![-77.0; shape.len()]));
        }
    }
    let other = Shape::channels_first(&[3, 2, 4]).unwrap();
    let of_other = Kept::lengths(&other, &[4, 2, 3]).unwrap();
    forward_by::<f32, B>(backend, &problem, None, |given| {
        let batch = (&shape, &of_other);
        let (x, affine, epilogue) = (given.x, given.affine, given.epilogue);
        let found = backend.forward_training::<f32>(batch, x, affine, epilogue, given.y, given.out);
        assert!(
            matches!(found, Err(Error::ShapeMismatch { .. })),
            "{found:?}"
        );
        Ok(())
    });
}
