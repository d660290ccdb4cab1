//! Backward from y: as the textbook goes back from what the stored y says of v. With e the error of x̂, and u the roundoff of the compute
//! type, to first order:
//!
//! - v of y: nothing where there is no activation; a product and the inverse slope, which are rounded, 2u of v for leaky ReLU; for ELU the
//!   quotient y/α and α, 2u·|y/α| / (1 + y/α), and the logarithm 4u of v (`src/logarithm.rs`). A residual is subtracted with 1u.
//! - x̂ = (v − β)·(1/γ): 1u for the difference, 2u for the product and the inverse; subnormal γ there are none of. e is all of these over
//!   |γ|.
//! - dv: leaky ReLU 2u, ELU 3u of α (`y + α`, α, the product).
//! - dβ, dγ and dx as `tolerance.rs` has them, with e instead of the errors of mean and inv_std: dγ and e·Σ|dv|; dx, whose factor
//!   γ·inv_std is given here and rounded once, 8u on its three parts, and e on the slope.

use batchnorm::backend::{
    ActivationBackward, Backend, GradientSumsMut, InOut, Normalization, SavedActivation,
    StatisticsSource, composed,
};
use batchnorm::{Activation, Cpu, DType, Element, Error, Result, Shape};
use half::{bf16, f16};

use crate::comparison::close;
use crate::data::{Random, add_residual, add_running, ordinary, round, typed};
use crate::reference::Problem;
use crate::run::{BackwardAnswer, How, unwritten, uploaded};
use crate::shapes;
use crate::tolerance::{Additions, compute_roundoff, store};

const LEAKY: Activation = Activation::LeakyRelu { slope: 0.1 };
const ELU: Activation = Activation::Elu { alpha: 0.75 };

/// What a backward pass from y is given.
struct Given {
    problem: Problem,
    /// As it was stored.
    y: Vec<f64>,
    inv_std: Vec<f64>,
}

impl Given {
    fn of<T: Element>(problem: &Problem) -> Self {
        let forward = problem.forward();
        Self {
            problem: problem.clone(),
            y: forward.y.iter().map(|&y| round::<T>(y)).collect(),
            inv_std: (forward.inv_std.iter())
                .map(|&inv_std| round::<T::Compute>(inv_std))
                .collect(),
        }
    }
}

/// What of one y is known again.
struct Found {
    x_hat: f64,
    off: f64,
    slope: f64,
}

impl Given {
    fn found<T: Element>(&self, c: usize, i: usize) -> Found {
        let (problem, y) = (&self.problem, self.y[i]);
        let u = compute_roundoff::<T>();
        let (v, off_v, slope) = match problem.activation {
            Activation::LeakyRelu { slope } if y <= 0.0 => {
                (y / slope, 2.0 * u * (y / slope).abs(), slope)
            }
            Activation::Elu { alpha } if y <= 0.0 => {
                let roundoff = match T::DTYPE {
                    DType::F16 => 2f64.powi(-11),
                    DType::BF16 => 2f64.powi(-8),
                    _ => u,
                };
                let left = (1.0 + y / alpha).max(roundoff / 2.0);
                let of_quotient = 2.0 * u * (y / alpha).abs() / left;
                (
                    left.ln(),
                    of_quotient + 4.0 * u * left.ln().abs(),
                    y + alpha,
                )
            }
            _ => (y, 0.0, 1.0),
        };
        let residual = problem
            .residual
            .as_ref()
            .map_or(0.0, |residual| residual[i]);
        let off_v = if problem.residual.is_some() {
            off_v + u * (v - residual).abs()
        } else {
            off_v
        };
        let (gamma, beta) = (problem.gamma[c], problem.beta[c]);
        let x_hat = (v - residual - beta) / gamma;
        Found {
            x_hat,
            off: 1.01 * (off_v / gamma.abs() + 3.0 * u * x_hat.abs()),
            slope,
        }
    }
}

fn hold<T: Element, B: Backend>(backend: &B, given: &Given, answer: &BackwardAnswer<T>) {
    let problem = &given.problem;
    let additions = Additions::of::<T, B>(backend, &problem.shape);
    let u = compute_roundoff::<T>();
    let (of_sum, of_products) = (
        additions.of_sum::<T>(),
        additions.of_products::<T>() + 2.0 * u,
    );
    let count = problem.shape.values_per_channel() as f64;
    let of_batch = f64::from(u8::from(problem.running.is_none()));
    let off_slope = match problem.activation {
        Activation::LeakyRelu { slope } => 2.0 * u * slope,
        Activation::Elu { alpha } => 3.0 * u * alpha,
        _ => 0.0,
    };
    for c in 0..problem.shape.channels() {
        let (mut dbeta, mut dgamma, mut off_dbeta, mut off_dgamma) = (0.0, 0.0, 0.0, 0.0);
        for i in problem.channel(c) {
            let Found { x_hat, off, slope } = given.found::<T>(c, i);
            let (dv, off_dv) = (slope * problem.dy[i], off_slope * problem.dy[i].abs());
            dbeta += dv;
            dgamma += dv * x_hat;
            off_dbeta += of_sum * dv.abs() + off_dv;
            off_dgamma += of_products * (dv * x_hat).abs() + off * dv.abs() + off_dv * x_hat.abs();
        }
        let found = answer.dbeta[c].to_f64();
        close(
            "dbeta",
            problem,
            c,
            found,
            dbeta,
            off_dbeta + store::<T::Compute>(dbeta),
        );
        let found = answer.dgamma[c].to_f64();
        close(
            "dgamma",
            problem,
            c,
            found,
            dgamma,
            off_dgamma + store::<T::Compute>(dgamma),
        );
        let scale = problem.gamma[c] * given.inv_std[c];
        let (mean_dv, mean_product) = (of_batch * dbeta / count, of_batch * dgamma / count);
        for i in problem.channel(c) {
            let Found { x_hat, off, slope } = given.found::<T>(c, i);
            let (dv, off_dv) = (slope * problem.dy[i], off_slope * problem.dy[i].abs());
            if let Some(dresidual) = &answer.dresidual {
                let bound = off_dv + store::<T>(dv);
                close("dresidual", problem, i, dresidual[i].to_f64(), dv, bound);
            }
            let dx = scale * (dv - mean_dv - x_hat * mean_product);
            let parts = dv.abs() + mean_dv.abs() + (x_hat * mean_product).abs();
            let of_sums = of_batch * (off_dbeta + x_hat.abs() * off_dgamma) / count;
            let bound = scale.abs()
                * (off_dv + 9.0 * u * parts + of_sums + off * mean_product.abs())
                + store::<T>(dx);
            close("dx", problem, i, answer.dx[i].to_f64(), dx, 1.01 * bound);
        }
    }
}

/// The backward pass, in place (dx over dy) or not; mean and the rest of the statistics are not read.
fn backward<T: Element, B: Backend>(
    backend: &B,
    given: &Given,
    how: How,
    in_place: bool,
) -> (Result<()>, BackwardAnswer<T>) {
    let problem = &given.problem;
    let shape = &problem.shape;
    let y = uploaded::<T, B>(backend, &given.y);
    let mut dy = uploaded::<T, B>(backend, &problem.dy);
    let residual = problem.residual.as_ref();
    let residual = residual.map(|residual| uploaded::<T, B>(backend, residual));
    let of_channels = |values: &[f64]| uploaded::<T::Compute, B>(backend, values);
    let not_read = of_channels(&vec![f64::NAN; shape.channels()]);
    let (gamma, beta) = (of_channels(&problem.gamma), of_channels(&problem.beta));
    let inv_std = of_channels(&given.inv_std);
    let channels = shape.channels();
    let [mut dgamma, mut dbeta] = [0; 2].map(|_| unwritten::<T::Compute, B>(backend, channels));
    let mut separate = unwritten::<T, B>(backend, shape.len());
    let mut dresidual = (residual.as_ref()).map(|_| unwritten::<T, B>(backend, shape.len()));
    let result = {
        let dy_to_dx = if in_place {
            InOut::InPlace(B::as_slice_mut(&mut dy))
        } else {
            InOut::Separate(B::as_slice(&dy), B::as_slice_mut(&mut separate))
        };
        let with = Normalization {
            mean: B::as_slice(&not_read),
            mean_low: B::as_slice(&not_read),
            inv_std: B::as_slice(&inv_std),
            gamma: B::as_slice(&gamma),
            beta: B::as_slice(&beta),
        };
        let source = match problem.running {
            Some(_) => StatisticsSource::Running,
            None => StatisticsSource::Batch,
        };
        let residual = residual.as_ref().map(|residual| B::as_slice::<T>(residual));
        let activation = ActivationBackward {
            activation: problem.activation,
            saved: SavedActivation::Output(residual),
        };
        let out = GradientSumsMut {
            gamma: B::as_slice_mut(&mut dgamma),
            beta: B::as_slice_mut(&mut dbeta),
        };
        let dresidual = dresidual.as_mut().map(|array| B::as_slice_mut(array));
        let y = B::as_slice(&y);
        match how {
            How::Fused => {
                backend.backward::<T>(shape, dy_to_dx, y, with, source, activation, dresidual, out)
            }
            How::Composed => composed::backward::<B, T>(
                backend, shape, dy_to_dx, y, with, source, activation, dresidual, out,
            ),
        }
    };
    let array = |array| backend.download::<T>(array).unwrap();
    let of_channels = |array| backend.download::<T::Compute>(array).unwrap();
    let answer = BackwardAnswer {
        dx: array(B::as_slice(if in_place { &dy } else { &separate })),
        dresidual: dresidual
            .as_ref()
            .map(|dresidual| array(B::as_slice(dresidual))),
        dgamma: of_channels(B::as_slice(&dgamma)),
        dbeta: of_channels(B::as_slice(&dbeta)),
    };
    (result, answer)
}

/// Each activation that has an inverse, plain and after a residual.
fn with_each_epilogue<T: Element>(mut problem: Problem, check: impl Fn(&Given)) {
    for residual in [false, true] {
        if residual {
            add_residual::<T>(&mut problem, 5);
        }
        for activation in [Activation::None, LEAKY, ELU] {
            problem.activation = activation;
            check(&Given::of::<T>(&problem));
        }
    }
}

fn check<T: Element, B: Backend>(backend: &B, given: &Given, how: How, in_place: bool) {
    let (result, answer) = backward::<T, B>(backend, given, how, in_place);
    result.unwrap();
    hold::<T, B>(backend, given, &answer);
}

/// On every seventh of the small shapes: seven is no multiple of what they are products of.
fn of_type<T: Element>(cpu: &Cpu) {
    let small = shapes::small().into_iter().step_by(7);
    for (seed, shape) in small.chain(shapes::ranks()).enumerate() {
        for frozen in [false, true] {
            let mut problem = ordinary::<T>(shape, seed as u64);
            if frozen {
                add_running::<T>(&mut problem, 9);
            }
            with_each_epilogue::<T>(problem, |given| {
                check::<T, Cpu>(cpu, given, How::Fused, seed % 2 == 0);
                check::<T, Cpu>(cpu, given, How::Composed, seed % 2 == 1);
            });
        }
    }
}

pub fn backward_from_y_matches_the_textbook_in_f32(cpu: &Cpu) {
    of_type::<f32>(cpu);
}

pub fn backward_from_y_matches_the_textbook_in_f16(cpu: &Cpu) {
    of_type::<f16>(cpu);
}

pub fn backward_from_y_matches_the_textbook_in_bf16(cpu: &Cpu) {
    of_type::<bf16>(cpu);
}

pub fn backward_from_y_matches_the_textbook_in_f64(cpu: &Cpu) {
    of_type::<f64>(cpu);
}

pub fn backward_from_y_of_large_arrays_matches_the_textbook(cpu: &Cpu) {
    for (seed, shape) in shapes::large().into_iter().enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        problem.activation = [Activation::None, LEAKY, ELU][seed % 3];
        check::<f32, Cpu>(cpu, &Given::of::<f32>(&problem), How::Fused, true);
        add_residual::<f32>(&mut problem, 3);
        check::<f32, Cpu>(cpu, &Given::of::<f32>(&problem), How::Fused, false);
    }
}

/// γ near the ends of what has an inverse, and β as large beside it as beside others.
pub fn a_gamma_of_any_size_goes_back_from_y(cpu: &Cpu) {
    let mut random = Random::new(3);
    for shape in shapes::ranks() {
        for power in [-120, -60, 60, 100] {
            let mut problem = ordinary::<f32>(shape, 4);
            let factor = 2f64.powi(power);
            for (gamma, beta) in problem.gamma.iter_mut().zip(&mut problem.beta) {
                *gamma *= factor;
                *beta *= factor;
            }
            let smaller = 0.5 + random.uniform();
            problem
                .dy
                .iter_mut()
                .for_each(|dy| *dy = round::<f32>(*dy * smaller));
            for activation in [Activation::None, LEAKY] {
                problem.activation = activation;
                check::<f32, Cpu>(cpu, &Given::of::<f32>(&problem), How::Fused, false);
            }
        }
    }
}

/// A backend either goes back from y, or says that it does not and writes nothing.
pub fn a_device_goes_back_from_y_or_writes_nothing<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        with_each_epilogue::<f32>(ordinary::<f32>(shape, seed as u64), |given| {
            let (result, answer) = backward::<f32, B>(backend, given, How::Fused, false);
            match result {
                Ok(()) => hold::<f32, B>(backend, given, &answer),
                Err(Error::Value { what, .. }) => {
                    assert_eq!(what, "the device of a pass that keeps y instead of x");
                    let all = answer.dx.iter().chain(&answer.dgamma).chain(&answer.dbeta);
                    assert!(all.copied().eq(typed::<f32>(&vec![
                        -77.0;
                        answer.dx.len()
                            + 2 * shape.channels()
                    ])));
                }
                Err(other) => panic!("{other}"),
            }
        });
    }
}

pub fn threads_change_no_bit_of_a_backward_from_y(cpu: &Cpu) {
    let everything = |shape: Shape, threads| {
        let cpu_of = Cpu::with_threads(threads).unwrap();
        let cpu_of = cpu_of.at_level(cpu.level()).unwrap();
        let mut problem = ordinary::<bf16>(shape, 8);
        problem.activation = ELU;
        add_residual::<bf16>(&mut problem, 9);
        let (result, answer) =
            backward::<bf16, Cpu>(&cpu_of, &Given::of::<bf16>(&problem), How::Fused, false);
        result.unwrap();
        answer
    };
    for shape in shapes::large() {
        let one = everything(shape, 1);
        for threads in [2, 7] {
            assert_eq!(
                one,
                everything(shape, threads),
                "{shape}, {threads} threads"
            );
        }
    }
}
