//! Where one rank has all values, the statistics and gradients are those of the fused pass, to the bit: nothing is lost on the way
//! through the exchange.

use batchnorm::{Activation, Cpu, Element};
use contract_suite::data::{add_residual, ordinary};
use contract_suite::ranks::{RankAnswer, Summation, bits, of_the_layer, on_ranks};
use contract_suite::reference::Problem;
use contract_suite::shapes;
use half::{bf16, f16};

/// With empty ranks before and after, which the sums go through.
fn check<T: Element>(problem: &Problem) {
    let cpu = Cpu::new();
    let expected = of_the_layer::<T, Cpu>(&cpu, problem);
    let samples = [0, problem.shape.batch(), 0];
    for summation in [Summation::Local, Summation::OverRanks] {
        let answers = on_ranks::<T, Cpu>(&cpu, problem, &samples, summation);
        let shape = problem.shape;
        let of = |answer: &RankAnswer<T>| {
            let all = answer.statistics.iter().chain(&answer.running);
            all.map(|values| bits(values)).collect::<Vec<_>>()
        };
        let answer = &answers[1];
        assert_eq!(of(answer), of(&expected), "statistics of {shape}");
        assert_eq!(of(&answers[0]), of(&expected), "the others' of {shape}");
        assert_eq!(bits(&answer.y), bits(&expected.y), "y of {shape}");
        let (found, expected) = (&answer.gradients, &expected.gradients);
        assert_eq!(bits(&found.dx), bits(&expected.dx), "dx of {shape}");
        let of_residual = |dresidual: &Option<Vec<T>>| dresidual.as_deref().map(bits);
        assert_eq!(
            of_residual(&found.dresidual),
            of_residual(&expected.dresidual)
        );
        assert_eq!(bits(&found.dgamma), bits(&expected.dgamma), "of {shape}");
        assert_eq!(bits(&found.dbeta), bits(&expected.dbeta), "of {shape}");
    }
}

fn check_all<T: Element>() {
    let shapes = shapes::small().into_iter().step_by(7);
    for (seed, shape) in shapes.chain(shapes::ranks()).enumerate() {
        let mut problem = ordinary::<T>(shape, seed as u64);
        check::<T>(&problem);
        problem.activation = [Activation::Relu, Activation::Silu][seed % 2];
        add_residual::<T>(&mut problem, 5);
        check::<T>(&problem);
    }
}

#[test]
fn of_small_arrays_in_every_type() {
    check_all::<f32>();
    check_all::<f64>();
    check_all::<f16>();
    check_all::<bf16>();
}

/// Cut in each of the ways there are.
#[test]
fn of_large_arrays() {
    for (seed, shape) in shapes::large().into_iter().enumerate() {
        check::<f32>(&ordinary::<f32>(shape, seed as u64));
    }
}

/// Values that the statistics must take care of: a mean that needs two numbers, squares that overflow, a constant, no number.
#[test]
fn of_values_that_hurt() {
    for shape in shapes::ranks() {
        for (scale, offset) in [(1.0, 1e12), (1e30, 0.0), (1e-30, 0.0), (0.0, 0.1)] {
            let mut problem = ordinary::<f64>(shape, 3);
            problem.x = problem.x.iter().map(|x| x * scale + offset).collect();
            check::<f64>(&problem);
            if offset < 1e9 {
                check::<f32>(&problem);
            }
        }
        let mut problem = ordinary::<f32>(shape, 4);
        problem.x[0] = f64::NAN;
        problem.x[1] = f64::INFINITY;
        check::<f32>(&problem);
    }
}
