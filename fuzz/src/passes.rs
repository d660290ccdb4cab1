//! Both passes of a layer, fused and composed of steps, at every level of the processor, against the textbook.

use crate::CPU;
use arbitrary::{Arbitrary, Result, Unstructured};
use batchnorm::{Cpu, Element, Level};
use contract_suite::comparison::check_backward;
use contract_suite::data::{round, with_x};
use contract_suite::reference::Problem;
use contract_suite::run::How;
use half::{bf16, f16};

/// The target.
pub fn target(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let _ = match bytes.int_in_range(0..=3) {
        Ok(0) => check::<f32>(&mut bytes),
        Ok(1) => check::<f64>(&mut bytes),
        Ok(2) => check::<f16>(&mut bytes),
        _ => check::<bf16>(&mut bytes),
    };
}

fn check<T: Element>(bytes: &mut Unstructured<'_>) -> Result<()> {
    let problem = problem::<T>(bytes)?;
    let level = *bytes.choose(&Level::available())?;
    let how = *bytes.choose(&[How::Fused, How::Composed])?;
    let cpu = CPU.clone().at_level(level).expect("a level that there is");
    check_backward::<T, Cpu>(&cpu, &problem, how);
    Ok(())
}

/// Values about a mean of any size that leaves them digits, with deviations of any size near it.
fn problem<T: Element>(bytes: &mut Unstructured<'_>) -> Result<Problem> {
    let shape = crate::shape(bytes, 1500)?;
    if shape.values_per_channel() < 2 {
        return Err(arbitrary::Error::IncorrectFormat);
    }
    let halves = size_of::<T>() == 2;
    let power = |bytes: &mut Unstructured<'_>, most: i32| -> Result<f64> {
        Ok(2f64.powi(bytes.int_in_range(-most..=most)?))
    };
    let mut problem = with_x::<T>(shape, vec![0.0; shape.len()], bytes.int_in_range(0..=99)?);
    for c in 0..shape.channels() {
        let mean = f64::from(i8::arbitrary(bytes)?) * power(bytes, if halves { 2 } else { 8 })?;
        let deviation = power(bytes, if halves { 3 } else { 8 })?;
        for i in problem.channel(c).collect::<Vec<_>>() {
            let step = f64::from(i8::arbitrary(bytes)?) / 32.0;
            problem.x[i] = round::<T>(mean + deviation * step);
        }
    }
    problem.epsilon = *bytes.choose(&[1e-5, 1e-3, 1.0])?;
    problem.activation = crate::activation(bytes)?;
    if bool::arbitrary(bytes)? {
        contract_suite::data::add_residual::<T>(&mut problem, 7);
    }
    if bool::arbitrary(bytes)? {
        contract_suite::data::add_running::<T>(&mut problem, 8);
    }
    Ok(problem)
}
