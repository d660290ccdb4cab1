//! dγ of data that leaves it few digits, at every SIMD level.

use batchnorm::{Cpu, Level};
use contract_suite::gradient_sums;

fn at_every_level(check: impl Fn(&Cpu)) {
    for level in Level::available() {
        check(&Cpu::with_threads(2).unwrap().at_level(level).unwrap());
    }
}

#[test]
fn one_gradient_near_the_mean_of_three_values_keeps_its_digits() {
    at_every_level(gradient_sums::one_gradient_near_the_mean_of_three_values_keeps_its_digits);
}

#[test]
fn one_gradient_near_the_mean_of_few_values_keeps_its_digits() {
    at_every_level(gradient_sums::one_gradient_near_the_mean_of_few_values_keeps_its_digits);
}

#[test]
fn subnormal_gradients_lose_no_bits() {
    at_every_level(gradient_sums::subnormal_gradients_lose_no_bits);
}

#[test]
fn gradients_near_the_largest() {
    at_every_level(gradient_sums::gradients_near_the_largest);
}
