//! The rows of the processor.

use std::error::Error;
use std::time::{Duration, Instant};

use batchnorm::{BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
use indicatif::ProgressBar;
use tables::spread::median;
use workload::limit::{Limit, Way};
use workload::shapes::values;

use super::plain_loop::{self, Dims};
use super::{Kind, Row};

/// Two arrays to read and two to write.
struct Arrays {
    x: Tensor<f32, Cpu>,
    dy: Tensor<f32, Cpu>,
    y: Tensor<f32, Cpu>,
    dx: Tensor<f32, Cpu>,
}

/// Who takes a turn.
enum Turn {
    PlainLoop,
    BatchNorm(Box<BatchNorm<Cpu>>),
    Limit(Way),
}

pub(super) fn rows(
    shape: Shape,
    rounds: u64,
    progress: &ProgressBar,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let all = Cpu::new();
    let mut arrays = Arrays {
        x: Tensor::new(&all, shape, &values(shape.len(), 1))?,
        dy: Tensor::new(&all, shape, &values(shape.len(), 2))?,
        y: Tensor::zeros(&all, shape)?,
        dx: Tensor::zeros(&all, shape)?,
    };
    let config = BatchNormConfig::new(shape.channels());
    let limit = Limit::new(all.threads())?;
    let bytes = 2 * size_of::<f32>() * shape.len();
    let mut turns = vec![
        Turn::PlainLoop,
        Turn::BatchNorm(Box::new(BatchNorm::new(&Cpu::with_threads(1)?, config)?)),
    ];
    if all.threads() > 1 {
        turns.push(Turn::BatchNorm(Box::new(BatchNorm::new(&all, config)?)));
    }
    turns.extend(limit.ways(bytes).into_iter().map(Turn::Limit));

    progress.set_length(rounds * turns.len() as u64);
    let mut times = vec![(Vec::new(), Vec::new()); turns.len()];
    // The first round touches every page, and counts for nothing.
    for round in 0..=rounds {
        for (turn, (forward, backward)) in turns.iter_mut().zip(&mut times) {
            let [first, second] = turn.time(&limit, &mut arrays)?;
            if round > 0 {
                forward.push(first.as_secs_f64());
                backward.push(second.as_secs_f64());
                progress.inc(1);
            }
        }
    }
    let mut rows: Vec<Row> = Vec::new();
    for (turn, (forward, backward)) in turns.iter().zip(times) {
        let row = Row {
            kind: turn.kind(),
            device: turn.device(&all),
            forward: median(forward),
            backward: median(backward),
        };
        match rows.last_mut() {
            // Of several ways to the limit, the fastest is it.
            Some(last) if last.kind == Kind::Limit => {
                last.forward = last.forward.min(row.forward);
                last.backward = last.backward.min(row.backward);
            }
            _ => rows.push(row),
        }
    }
    Ok(rows)
}

impl Turn {
    fn kind(&self) -> Kind {
        match self {
            Turn::PlainLoop => Kind::PlainLoop,
            Turn::BatchNorm(_) => Kind::BatchNorm,
            Turn::Limit(_) => Kind::Limit,
        }
    }

    fn device(&self, all: &Cpu) -> String {
        let threads = match self {
            Turn::PlainLoop => 1,
            Turn::BatchNorm(layer) => layer.backend().threads(),
            Turn::Limit(_) => all.threads(),
        };
        let plural = if threads == 1 { "" } else { "s" };
        format!("processor, {threads} thread{plural}")
    }

    /// Of a forward pass, and of the backward pass after it.
    fn time(
        &mut self,
        limit: &Limit,
        arrays: &mut Arrays,
    ) -> Result<[Duration; 2], batchnorm::Error> {
        let Arrays { x, dy, y, dx } = arrays;
        let shape = x.shape();
        Ok(match self {
            Turn::PlainLoop => {
                let dims = Dims::of(&shape);
                let (gamma, beta) = (vec![1.0; shape.channels()], vec![0.0; shape.channels()]);
                let start = Instant::now();
                let saved =
                    plain_loop::forward(dims, x.slice(), &gamma, &beta, 1e-5, y.slice_mut());
                let forward = start.elapsed();
                let start = Instant::now();
                plain_loop::backward(dims, x.slice(), dy.slice(), &gamma, &saved, dx.slice_mut());
                [forward, start.elapsed()]
            }
            Turn::BatchNorm(layer) => {
                let start = Instant::now();
                let pass = layer.forward_training_into(&*x, None, y)?;
                let forward = start.elapsed();
                let start = Instant::now();
                pass.backward_into(&*dy, dx, None)?;
                [forward, start.elapsed()]
            }
            Turn::Limit(way) => [
                limit.copy(*way, 1, x.slice(), y.slice_mut()),
                limit.combine(*way, 1, dy.slice(), x.slice(), dx.slice_mut()),
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{table, times_as_fast};
    use super::*;

    fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        // NaN would be lost in a maximum.
        differences.fold(0.0, |most, next| if next <= most { most } else { next })
    }

    /// The plain loop computes what the layer does, or its time would say nothing.
    #[test]
    fn the_plain_loop_is_batch_norm() {
        let shape = Shape::channels_first(&[4, 3, 5, 5]).unwrap();
        let (cpu, len) = (Cpu::new(), shape.len());
        let (x, dy) = (values::<f32>(len, 1), values::<f32>(len, 2));
        let (gamma, beta) = ([0.5, -1.0, 2.0], [1.0, 0.0, -3.0]);
        let (mut y, mut dx) = (vec![0.0; len], vec![0.0; len]);
        let dims = Dims::of(&shape);
        let saved = plain_loop::forward(dims, &x, &gamma, &beta, 1e-5, &mut y);
        let parameters = plain_loop::backward(dims, &x, &dy, &gamma, &saved, &mut dx);

        let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu, BatchNormConfig::new(3)).unwrap();
        layer.gamma_mut().unwrap().set(&gamma).unwrap();
        layer.beta_mut().unwrap().set(&beta).unwrap();
        let x = Tensor::new(&cpu, shape, &x).unwrap();
        let dy = Tensor::new(&cpu, shape, &dy).unwrap();
        let (expected, pass) = layer.forward_training(&x).unwrap();
        let gradients = pass.backward(&dy).unwrap();
        assert!(largest_difference(&y, &expected.to_vec().unwrap()) < 1e-5);
        assert!(largest_difference(&dx, &gradients.input.to_vec().unwrap()) < 1e-5);
        let (dgamma, dbeta): (Vec<f32>, Vec<f32>) = parameters.into_iter().unzip();
        assert!(largest_difference(&dgamma, &gradients.gamma.unwrap().to_vec().unwrap()) < 1e-4);
        assert!(largest_difference(&dbeta, &gradients.beta.unwrap().to_vec().unwrap()) < 1e-4);
    }

    #[test]
    fn there_is_a_row_for_each_who_takes_a_turn() {
        let shape = Shape::channels_first(&[4, 8, 16, 16]).unwrap();
        let rows = rows(shape, 2, &ProgressBar::hidden()).unwrap();
        let kinds: Vec<_> = rows.iter().map(|row| row.kind).collect();
        let mut expected = vec![Kind::PlainLoop, Kind::BatchNorm, Kind::Limit];
        if Cpu::new().threads() > 1 {
            expected.insert(1, Kind::BatchNorm);
        }
        assert_eq!(kinds, expected);
        assert!(
            rows.iter()
                .all(|row| row.forward > 0.0 && row.backward > 0.0)
        );
        let [forward, backward] = times_as_fast(&rows).unwrap();
        assert!(forward.is_finite() && backward.is_finite());
        assert_eq!(table(&rows).to_string().lines().count(), 2 + rows.len());
    }
}
