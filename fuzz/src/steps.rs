//! The steps on operands of any length and any value: right lengths are taken, wrong ones refused before anything is written.

use crate::CPU;
use arbitrary::{Arbitrary, Result, Unstructured};
use batchnorm::backend::{
    ActivationBackward, Affine, Backend, Epilogue, GradientSums, GradientSumsMut,
    GradientsOfGradients, InOut, Normalization, RunningMut, SecondGradientsMut, Statistics,
    StatisticsMut, StatisticsSource,
};
use batchnorm::{Error, Shape};

/// What no step writes.
const UNTOUCHED: f32 = -77.125;

/// The target.
pub fn target(bytes: &[u8]) {
    let _ = steps(&mut Unstructured::new(bytes));
}

struct Operands<'b, 'a> {
    bytes: &'b mut Unstructured<'a>,
    shape: Shape,
    /// Whether some operand's length is wrong.
    wrong: bool,
}

impl Operands<'_, '_> {
    /// Usually the right length.
    fn len(&mut self, right: usize) -> Result<usize> {
        let len = match self.bytes.int_in_range(0..=40)? {
            0 => right + 1,
            1 => right.saturating_sub(1),
            2 => self.bytes.int_in_range(0..=100)?,
            _ => right,
        };
        self.wrong |= len != right;
        Ok(len)
    }

    fn values(&mut self, right: usize) -> Result<Vec<f32>> {
        let len = self.len(right)?;
        (0..len).map(|_| value(self.bytes)).collect()
    }

    fn array(&mut self) -> Result<Vec<f32>> {
        self.values(self.shape.len())
    }

    fn channels(&mut self) -> Result<Vec<f32>> {
        self.values(self.shape.channels())
    }

    fn output(&mut self, right: usize) -> Result<Vec<f32>> {
        Ok(vec![UNTOUCHED; self.len(right)?])
    }
}

/// Any bits, and often small numbers.
fn value(bytes: &mut Unstructured<'_>) -> Result<f32> {
    let small = i8::arbitrary(bytes)?;
    if small == i8::MIN {
        return f32::arbitrary(bytes);
    }
    Ok(f32::from(small) / 16.0)
}

fn steps(bytes: &mut Unstructured<'_>) -> Result<()> {
    let shape = crate::shape(bytes, 400)?;
    let step = bytes.int_in_range(0..=7)?;
    let activation = crate::activation(bytes)?;
    let epsilon = if bool::arbitrary(bytes)? {
        1e-5
    } else {
        f64::arbitrary(bytes)?
    };
    let (factor, correction) = (f64::arbitrary(bytes)?, f64::arbitrary(bytes)?);
    let (count, only_finite) = (usize::arbitrary(bytes)?, bool::arbitrary(bytes)?);
    let in_place = bool::arbitrary(bytes)?;
    let cpu = &*CPU;
    let mut operands = Operands {
        bytes,
        shape,
        wrong: false,
    };
    let channels = shape.channels();
    let (x, dy) = (operands.array()?, operands.array()?);
    let (mean, low, variance) = (
        operands.channels()?,
        operands.channels()?,
        operands.channels()?,
    );
    let (inv_std, gamma, beta) = (
        operands.channels()?,
        operands.channels()?,
        operands.channels()?,
    );
    let mut written: [Vec<f32>; 6] = [
        operands.output(shape.len())?,
        operands.output(channels)?,
        operands.output(channels)?,
        operands.output(channels)?,
        operands.output(channels)?,
        operands.output(shape.len())?,
    ];
    let of_dx = if step == 7 { operands.array()? } else { vec![] };
    let wrong = operands.wrong;
    let [array, a, b, c, d, second] = &mut written;
    let with = Normalization {
        mean: &mean[..],
        mean_low: &low[..],
        inv_std: &inv_std[..],
        gamma: &gamma[..],
        beta: &beta[..],
    };
    let out = StatisticsMut {
        mean: &mut a[..],
        mean_low: &mut b[..],
        variance: &mut c[..],
        inv_std: &mut d[..],
        running: None,
    };
    let result = match step {
        0 => cpu.statistics::<f32>(&shape, &x, epsilon, out),
        1 => cpu.inverse_std::<f32>(&variance, epsilon, a),
        2 => {
            let batch = Statistics {
                mean: &mean[..],
                mean_low: &low[..],
                variance: &variance[..],
                inv_std: &inv_std[..],
            };
            let running = RunningMut {
                mean: &mut a[..],
                variance: &mut b[..],
                factor,
                correction,
                only_finite,
            };
            cpu.update_running::<f32>(batch, running)
        }
        3 => cpu.normalize::<f32>(
            &shape,
            InOut::Separate(&x, array),
            with,
            Epilogue::of(activation).with_residual(&dy),
        ),
        4 => {
            let affine = Affine {
                gamma: &gamma[..],
                beta: &beta[..],
                epsilon,
            };
            let epilogue = Epilogue::of(activation);
            cpu.forward_training::<f32>(&shape, &x, affine, epilogue, array, out)
        }
        5 => cpu.backward::<f32>(
            &shape,
            if in_place {
                InOut::InPlace(array)
            } else {
                InOut::Separate(&dy, array)
            },
            &x,
            with,
            StatisticsSource::Batch,
            ActivationBackward::of(activation),
            Some(second),
            GradientSumsMut { gamma: a, beta: b },
        ),
        6 => {
            let sums = GradientSums {
                gamma: &mean[..],
                beta: &low[..],
                count,
            };
            cpu.backward_input::<f32>(
                &shape,
                InOut::Separate(&dy, array),
                &x,
                with,
                ActivationBackward::of(activation),
                Some(sums),
                Some(second),
            )
        }
        _ => {
            let source = if in_place {
                StatisticsSource::Running
            } else {
                StatisticsSource::Batch
            };
            let of = GradientsOfGradients {
                input: Some(&of_dx[..]),
                residual: only_finite.then_some(&dy[..]),
                gamma: Some(&variance[..]),
                beta: Some(&beta[..]),
            };
            let out = SecondGradientsMut {
                dy: &mut array[..],
                x: &mut second[..],
                gamma: &mut a[..],
            };
            let activation = ActivationBackward::of(activation);
            cpu.double_backward::<f32>(&shape, &dy, &x, with, source, activation, of, out)
        }
    };
    match result {
        Ok(()) => {}
        Err(Error::Length { .. }) => {
            assert!(wrong, "right lengths are refused");
            untouched(&written);
        }
        Err(_) => untouched(&written),
    }
    Ok(())
}

fn untouched(written: &[Vec<f32>; 6]) {
    let mut values = written.iter().flatten();
    assert!(
        values.all(|&value| value == UNTOUCHED),
        "a refused step has written"
    );
}
