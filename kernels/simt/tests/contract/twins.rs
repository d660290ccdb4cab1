//! What is written twice, for the processor and for its GPU's kernels, by the same operations in the same order: the same bits.

use batchnorm::{Activation, Cpu, Element};
use batchnorm_simt::SimtDevice;
use contract_suite::activations::problem_of_values;
use contract_suite::data::round;
use contract_suite::run::{How, backward, forward};

use crate::run_as;

/// y, and dv of dy = 1, of values all over the range and denser where activations bend. v is exactly x.
fn check<T: Element>() {
    let magnitudes = (0..400).map(|i| 1e30 * 0.8f64.powi(i));
    let magnitudes = magnitudes.chain((0..2000).map(|i| f64::from(i) / 50.0));
    let x: Vec<f64> = magnitudes.flat_map(|v| [v, -v]).map(round::<T>).collect();
    let (cpu, simt) = (Cpu::with_threads(1).unwrap(), run_as(SimtDevice::hopper()));
    for activation in Activation::all(0.1, 0.7) {
        for residual in [false, true] {
            let problem = problem_of_values(activation, residual, &x);
            let here = forward::<T, _>(&cpu, &problem, How::Fused);
            let there = forward::<T, _>(&simt, &problem, How::Fused);
            let dx_here = backward::<T, _>(&cpu, &problem, &here, How::Fused, false).dx;
            let dx_there = backward::<T, _>(&simt, &problem, &there, How::Fused, false).dx;
            for (i, v) in x.iter().enumerate() {
                let pairs = [(here.y[i], there.y[i]), (dx_here[i], dx_there[i])];
                for (here, there) in pairs.map(|(a, b)| (a.to_f64(), b.to_f64())) {
                    let both_are_nan = here.is_nan() && there.is_nan();
                    assert!(
                        here == there || both_are_nan,
                        "{activation} at {v}: {here}, {there}"
                    );
                }
            }
        }
    }
}

#[test]
fn activations_have_the_bits_of_the_processor() {
    check::<f32>();
    check::<f64>();
}
