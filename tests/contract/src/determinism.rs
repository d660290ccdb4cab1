//! The same bits, whoever computes them.

use batchnorm::backend::Backend;
use batchnorm::{Activation, Cpu, Element, Level, Shape};
use half::bf16;

use crate::data::{add_residual, ordinary};
use crate::run::{BackwardAnswer, How, backward, forward};
use crate::shapes;

/// Everything that comes out of forward and backward.
fn everything<T: Element, B: Backend>(
    backend: &B,
    shape: Shape,
) -> (Vec<T>, Vec<Vec<T::Compute>>, BackwardAnswer<T>) {
    let mut problem = ordinary::<T>(shape, 8);
    problem.activation = Activation::Relu;
    add_residual::<T>(&mut problem, 9);
    let answer = forward::<T, B>(backend, &problem, How::Fused);
    let statistics = answer
        .statistics
        .iter()
        .map(|array| backend.download::<T::Compute>(B::as_slice(array)).unwrap())
        .collect();
    let gradients = backward::<T, B>(backend, &problem, &answer, How::Fused, false);
    (answer.y, statistics, gradients)
}

pub fn runs_change_no_bit<B: Backend>(backend: &B) {
    for shape in shapes::large() {
        let first = everything::<f32, B>(backend, shape);
        assert_eq!(first, everything::<f32, B>(backend, shape), "{shape}");
    }
}

pub fn threads_change_no_bit(cpu: &Cpu) {
    let with_threads = |threads| {
        Cpu::with_threads(threads)
            .unwrap()
            .at_level(cpu.level())
            .unwrap()
    };
    for shape in shapes::large() {
        let one = everything::<f32, Cpu>(&with_threads(1), shape);
        let one_half = everything::<bf16, Cpu>(&with_threads(1), shape);
        for threads in [2, 3, 7] {
            assert_eq!(
                one,
                everything::<f32, Cpu>(&with_threads(threads), shape),
                "{shape}, {threads} threads"
            );
            assert_eq!(
                one_half,
                everything::<bf16, Cpu>(&with_threads(threads), shape),
                "{shape}, {threads} threads"
            );
        }
    }
}

/// The levels of this machine below the processor's that round as it does: those that round a·b + c once, or those that round the product
/// too. None below the least of each.
pub(crate) fn lower_levels_that_round_alike(cpu: &Cpu) -> Vec<Cpu> {
    let rounds_products = |level: &Level| matches!(level, Level::Portable | Level::Simd128);
    let levels = Level::available().into_iter();
    levels
        .take_while(|&level| level != cpu.level())
        .filter(|level| rounds_products(level) == rounds_products(&cpu.level()))
        .map(|level| cpu.clone().at_level(level).unwrap())
        .collect()
}

pub fn levels_that_round_alike_agree(cpu: &Cpu) {
    for other in lower_levels_that_round_alike(cpu) {
        for shape in shapes::ranks().into_iter().chain(shapes::large()) {
            let (a, b) = (
                everything::<f32, Cpu>(&other, shape),
                everything::<f32, Cpu>(cpu, shape),
            );
            assert_eq!(a, b, "{shape}: {} and {}", other.level(), cpu.level());
        }
    }
}
