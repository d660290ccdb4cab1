//! Factors that are no numbers of the type: 1/√ε, and γ·inv_std.

use batchnorm::backend::{Activation, Backend};
use batchnorm::{Element, Layout, Shape};
use half::{bf16, f16};

use crate::comparison::check_backward;
use crate::data::{Random, round, with_x};
use crate::reference::Problem;
use crate::run::{How, backward, forward};
use crate::shapes::three_dimensional;

/// By planes and by columns.
fn shapes() -> Vec<Shape> {
    let mut shapes = vec![];
    for (batch, channels, spatial) in [(7, 5, 300), (64, 5, 21), (2, 40, 900), (70, 3, 1)] {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            shapes.push(three_dimensional(batch, channels, spatial, layout));
        }
    }
    shapes
}

/// Where ε is so small that 1/√ε is no number of the type, or γ so large that γ·inv_std is none.
pub fn a_constant_gives_exactly_beta_on_any_scale<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B, epsilon: f64, gamma: f64) {
        for shape in shapes() {
            let mut x = vec![0.0; shape.len()];
            for n in 0..shape.batch() {
                for c in 0..shape.channels() {
                    for s in 0..shape.spatial() {
                        x[shape.index(n, c, s)] = round::<T>(0.25 * (1 + c) as f64);
                    }
                }
            }
            let mut problem = with_x::<T>(shape, x, 12);
            problem.epsilon = epsilon;
            problem.gamma.fill(round::<T::Compute>(gamma));
            let answer = forward::<T, B>(backend, &problem, How::Fused);
            let found = backward::<T, B>(backend, &problem, &answer, How::Fused, false);
            for c in 0..shape.channels() {
                for i in problem.channel(c) {
                    let beta = round::<T>(problem.beta[c]);
                    assert_eq!(answer.y[i].to_f64(), beta, "{} of {shape}", T::DTYPE);
                    assert!(!found.dx[i].to_f64().is_nan(), "dx of {}", T::DTYPE);
                }
            }
        }
    }
    for epsilon in [1e-5, 1e-77, 1e-78, 1e-100, f64::MIN_POSITIVE] {
        for gamma in [1.0, 3e38, -3e38] {
            check::<f32, B>(backend, epsilon, gamma);
            check::<bf16, B>(backend, epsilon, gamma);
            check::<f16, B>(backend, epsilon, gamma);
        }
        for gamma in [1.0, -1.7e308] {
            check::<f64, B>(backend, epsilon, gamma);
        }
    }
}

/// γ·inv_std is beyond the type, and γ·x̂ is not.
pub fn a_factor_beyond_the_type_is_no_loss<B: Backend>(backend: &B) {
    check_factors::<f32, B>(backend);
}

/// The same of `bf16`, of which the kernels of GPUs lose digits there.
pub fn a_factor_beyond_the_type_is_no_loss_in_bf16<B: Backend>(backend: &B) {
    check_factors::<bf16, B>(backend);
}

fn check_factors<T: Element, B: Backend>(backend: &B) {
    let mut random = Random::new(9);
    for shape in shapes() {
        let mut problem = with_x::<T>(shape, vec![0.0; shape.len()], 4);
        // The last channel is an ordinary one.
        for c in 0..shape.channels() {
            let is_near = c + 1 < shape.channels();
            let (deviation, gamma) = if is_near { (1e-25, -3e15) } else { (2.0, 1.5) };
            for i in problem.channel(c).collect::<Vec<_>>() {
                problem.x[i] = round::<T>(deviation * (0.7 + random.normal()));
                let dy = if is_near { 1e-20 } else { 1.0 };
                problem.dy[i] = round::<T>(dy * random.normal());
            }
            problem.gamma[c] = round::<f32>(gamma);
        }
        problem.epsilon = 1e-60;
        check_in_every_way::<T, B>(backend, &mut problem);
        // Constants for statistics: with them dx may be written as the sums are taken.
        let expected = problem.forward();
        problem.running = Some((
            expected
                .mean
                .iter()
                .map(|&mean| round::<f32>(mean))
                .collect(),
            vec![0.0; shape.channels()],
        ));
        problem.epsilon = 1e-50;
        check_backward::<T, B>(backend, &problem, How::Fused);
    }
}

/// With an activation, of which v is recomputed, and without one; dx apart and in place.
fn check_in_every_way<T: Element, B: Backend>(backend: &B, problem: &mut Problem) {
    for activation in [Activation::None, Activation::Relu] {
        problem.activation = activation;
        for how in [How::Fused, How::Composed] {
            check_backward::<T, B>(backend, problem, how);
        }
        let answer = forward::<T, B>(backend, problem, How::Fused);
        let [apart, in_place] = [false, true]
            .map(|in_place| backward::<T, B>(backend, problem, &answer, How::Fused, in_place));
        assert_eq!(apart, in_place);
    }
}

/// inv_std·Σ(dv·x̂)/M is beyond the type, and dx is not.
pub fn a_slope_beyond_the_type_is_no_loss<B: Backend>(backend: &B) {
    fn check<T: Element, B: Backend>(backend: &B) {
        let mut random = Random::new(10);
        for shape in shapes() {
            let mut problem = with_x::<T>(shape, vec![0.0; shape.len()], 4);
            // The last channel is an ordinary one.
            for c in 0..shape.channels() {
                let is_near = c + 1 < shape.channels();
                let (deviation, gamma, dy) = if is_near {
                    (1e-25, 1e-10, 1e16)
                } else {
                    (2.0, 1.5, 1.0)
                };
                for i in problem.channel(c).collect::<Vec<_>>() {
                    let normal = random.normal();
                    problem.x[i] = round::<T>(deviation * (0.7 + normal));
                    problem.dy[i] = round::<T>(dy * (normal + random.normal()));
                }
                problem.gamma[c] = round::<f32>(gamma);
            }
            problem.epsilon = 1e-60;
            check_in_every_way::<T, B>(backend, &mut problem);
        }
    }
    check::<f32, B>(backend);
    check::<bf16, B>(backend);
}
