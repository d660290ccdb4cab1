//! Adapted inference against the textbook: a problem whose running statistics lie between its own and the batch's.

use batchnorm::backend::Backend;
use batchnorm::{Adaptation, Data, Element, Tensor};
use half::{bf16, f16};

use crate::comparison::close;
use crate::data::{add_running, ordinary, typed};
use crate::forward::with_each_epilogue;
use crate::layers::{of_problem, running};
use crate::reference::Problem;
use crate::shapes;
use crate::tolerance::{Additions, compute_roundoff, store};

fn adapted<T: Element, B: Backend>(
    backend: &B,
    problem: &Problem,
    adaptation: Adaptation,
) -> Vec<T> {
    let tensor = |values: &[f64]| Tensor::new(backend, problem.shape, &typed::<T>(values)).unwrap();
    let layer = of_problem::<T, B>(backend, problem);
    let before = running(&layer);
    let residual = problem.residual.as_deref().map(tensor);
    let residual = residual
        .as_ref()
        .map(|residual| residual as &dyn Data<B, Element = T>);
    let mut y = tensor(&vec![f64::NAN; problem.shape.len()]);
    layer
        .forward_adapted_into(&tensor(&problem.x), residual, &mut y, adaptation)
        .unwrap();
    assert_eq!(running(&layer), before);
    y.to_vec().unwrap()
}

fn check<T: Element, B: Backend>(backend: &B, problem: &Problem, adaptation: Adaptation) {
    let found = adapted::<T, B>(backend, problem, adaptation);
    let weight = adaptation.weight(problem.shape.batch()).unwrap();
    let batch = Problem {
        running: None,
        ..problem.clone()
    }
    .forward();
    let blend = |running: &[f64], batch: &[f64]| -> Vec<f64> {
        let both = running.iter().zip(batch);
        both.map(|(running, batch)| (1.0 - weight) * running + weight * batch)
            .collect()
    };
    let (mean, variance) = problem.running.as_ref().unwrap();
    let between = Problem {
        running: Some((blend(mean, &batch.mean), blend(variance, &batch.variance))),
        ..problem.clone()
    };
    let expected = between.forward();
    let additions = Additions::of::<T, B>(backend, &problem.shape);
    let u = compute_roundoff::<T>();
    for c in 0..problem.shape.channels() {
        let (gamma, beta) = (problem.gamma[c].abs(), problem.beta[c].abs());
        let scale = gamma * expected.inv_std[c];
        // The batch's deviations against those that x is divided by: all of its statistics' errors are on its scale.
        let apart = (batch.variance[c] / expected.variance[c]).sqrt();
        for i in problem.channel(c) {
            let scaled = gamma * expected.x_hat[i].abs();
            let residual = problem.residual.as_ref().map_or(0.0, |all| all[i].abs());
            let of_sums = additions.of_products::<T>() * weight * apart * (1.0 + apart);
            let bound = 2.0 * of_sums * (gamma + scaled)
                + 8.0 * u * (scale * (problem.x[i].abs() + expected.mean[c].abs()) + scaled)
                + 4.0 * u * (beta + residual)
                + store::<T>(expected.y[i]);
            close("y", problem, c, found[i].to_f64(), expected.y[i], bound);
        }
    }
}

pub fn adapted_inference_matches_the_textbook<B: Backend>(backend: &B) {
    fn check_type<T: Element, B: Backend>(backend: &B) {
        let few = shapes::small().into_iter().step_by(11);
        for (seed, shape) in few.chain(shapes::ranks()).enumerate() {
            let mut problem = ordinary::<T>(shape, seed as u64);
            add_running::<T>(&mut problem, 9);
            with_each_epilogue::<T>(problem, |problem| {
                let adaptation = [
                    Adaptation::Weight(0.3),
                    Adaptation::Weight(1.0),
                    Adaptation::Prior { samples: 16.0 },
                ][seed % 3];
                check::<T, B>(backend, problem, adaptation);
            });
        }
    }
    check_type::<f32, B>(backend);
    check_type::<f16, B>(backend);
    check_type::<bf16, B>(backend);
    check_type::<f64, B>(backend);
}

/// Of no weight it is inference, to the bit, also where the batch has no variance or is not finite.
pub fn adapted_inference_of_no_weight_is_inference<B: Backend>(backend: &B) {
    for (seed, shape) in shapes::ranks().into_iter().enumerate() {
        let mut problem = ordinary::<f32>(shape, seed as u64);
        add_running::<f32>(&mut problem, 9);
        problem.x[0] = f64::INFINITY;
        let found = adapted::<f32, B>(backend, &problem, Adaptation::Weight(0.0));
        let x = Tensor::new(backend, shape, &typed::<f32>(&problem.x)).unwrap();
        let plain = of_problem::<f32, B>(backend, &problem)
            .forward_inference(&x)
            .unwrap();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(found), bits(plain.to_vec().unwrap()), "{shape}");
    }
}
