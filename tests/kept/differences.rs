//! Gradients are slopes: of Σ dy·y, by central differences in f64.

use batchnorm::{Activation, BatchNorm, BatchNormConfig, Cpu, Data, Kept, Renormalization, Shape};

use crate::{layer, tensor, wave, wide};

struct Case {
    config: BatchNormConfig,
    shape: Shape,
    kept: Kept,
    residual: Option<Vec<f64>>,
    is_frozen: bool,
}

impl Case {
    fn layer(&self, cpu: &Cpu) -> BatchNorm<Cpu, f64> {
        let mut layer = layer::<f64>(cpu, self.config);
        let channels = self.shape.channels();
        let variance: Vec<f64> = wave(channels, 2.1, 0.3)
            .iter()
            .map(|v| 1.0 + v * v)
            .collect();
        let running = layer.running_mut().unwrap();
        running
            .set(&wave(channels, 1.3, 0.2), &variance, 1)
            .unwrap();
        layer
    }

    /// Σ dy·y, and if it goes backward dx, the residual's gradient, dγ and dβ.
    fn run(
        &self,
        layer: &BatchNorm<Cpu, f64>,
        x: &[f64],
        residual: Option<&[f64]>,
        dy: Option<&[f64]>,
        weigh: &[f64],
    ) -> (f64, Vec<Vec<f64>>) {
        let cpu = layer.backend();
        let x = tensor::<f64>(cpu, self.shape, x);
        let residual = residual.map(|residual| tensor::<f64>(cpu, self.shape, residual));
        let residual = residual
            .as_ref()
            .map(|of| of as &dyn Data<Cpu, Element = f64>);
        let mut y = tensor::<f64>(cpu, self.shape, &vec![f64::NAN; self.shape.len()]);
        let x = self.kept.of(&x);
        let pass = if self.is_frozen {
            layer.forward_frozen_into(x, residual, &mut y)
        } else {
            layer.forward_training_deferred_into(x, residual, &mut y)
        };
        let pass = pass.unwrap();
        let scalar = wide(&y).iter().zip(weigh).map(|(y, w)| y * w).sum();
        let Some(dy) = dy else {
            return (scalar, vec![]);
        };
        let found = pass.backward(&tensor::<f64>(cpu, self.shape, dy)).unwrap();
        let mut gradients = vec![wide(&found.input)];
        gradients.extend(found.residual.map(|of| wide(&of)));
        gradients.push(found.gamma.unwrap().to_vec().unwrap());
        gradients.push(found.beta.unwrap().to_vec().unwrap());
        (scalar, gradients)
    }
}

fn check(case: &Case) {
    let cpu = Cpu::with_threads(1).unwrap();
    let len = case.shape.len();
    let (x, dy) = (wave(len, 1.7, 0.2), wave(len, 0.9, 2.3));
    let layer = case.layer(&cpu);
    let residual = case.residual.as_deref();
    let (_, found) = case.run(&layer, &x, residual, Some(&dy), &dy);
    let step = 1e-5;
    let slope = |moved: &dyn Fn(f64) -> f64| (moved(step) - moved(-step)) / (2.0 * step);
    let close = |what: &str, i: usize, found: f64, slope: f64| {
        let allowed = 1e-7 * (1.0 + slope.abs());
        assert!(
            (found - slope).abs() < allowed,
            "{what} {i}: {found}, {slope}"
        );
    };
    for i in 0..len {
        let of_x = slope(&|by| {
            let mut moved = x.clone();
            moved[i] += by;
            case.run(&layer, &moved, residual, None, &dy).0
        });
        close("dx", i, found[0][i], of_x);
        if let Some(residual) = residual {
            let of_residual = slope(&|by| {
                let mut moved = residual.to_vec();
                moved[i] += by;
                case.run(&layer, &x, Some(&moved), None, &dy).0
            });
            close("dresidual", i, found[1][i], of_residual);
        }
    }
    for c in 0..case.shape.channels() {
        for (which, is_gamma) in [(found.len() - 2, true), (found.len() - 1, false)] {
            let of_parameter = slope(&|by| {
                let mut moved = layer.clone();
                let array = if is_gamma {
                    moved.gamma_mut()
                } else {
                    moved.beta_mut()
                };
                array.unwrap().slice_mut()[c] += by;
                case.run(&moved, &x, residual, None, &dy).0
            });
            close("parameter", c, found[which][c], of_parameter);
        }
    }
}

#[test]
fn gradients_are_slopes() {
    for shape in [
        Shape::channels_first(&[4, 3, 7]).unwrap(),
        Shape::channels_last(&[4, 7, 3]).unwrap(),
        Shape::channels_first(&[7, 3]).unwrap(),
        Shape::channels_last(&[2, 20, 2]).unwrap(),
    ] {
        let places = shape.values_per_channel();
        let weights: Vec<f64> = (0..places)
            .map(|i| [0.0, 0.7, 1.9, 0.0, 1.0][i % 5])
            .collect();
        let is_kept: Vec<bool> = weights.iter().map(|&weight| weight > 0.0).collect();
        let residual = Some(wave(shape.len(), 2.9, 1.1));
        let none = BatchNormConfig::new(shape.channels());
        let silu = none.activation(Activation::Silu);
        for kept in [
            Kept::weights(&shape, &weights).unwrap(),
            Kept::places(&shape, &is_kept).unwrap(),
        ] {
            for (config, residual, is_frozen) in [
                (none, None, false),
                (silu, None, false),
                (silu, residual.clone(), false),
                (silu.ghost_batch(shape.batch() / 2 + 1), None, false),
                (silu, residual.clone(), true),
            ] {
                check(&Case {
                    config,
                    shape,
                    kept: kept.clone(),
                    residual,
                    is_frozen,
                });
            }
        }
    }
}

/// R and D are constants to the gradients, which then are no slopes: of limits that are never reached, dβ and dγ are.
#[test]
fn a_renormalized_batch_goes_through_the_same_formulas() {
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[4, 3, 7]).unwrap();
    let lengths = [7, 2, 5, 0];
    let kept = Kept::lengths(&shape, &lengths).unwrap();
    let config = BatchNormConfig::new(3).renormalization(Renormalization::new(1e3, 1e3));
    let case = Case {
        config,
        shape,
        kept,
        residual: None,
        is_frozen: false,
    };
    let layer = case.layer(&cpu);
    let (x, dy) = (wave(shape.len(), 1.7, 0.2), wave(shape.len(), 0.9, 2.3));
    let found = case.run(&layer, &x, None, Some(&dy), &dy).1;
    // With limits that are not reached y is that of the running statistics.
    let frozen = Case {
        is_frozen: true,
        config: BatchNormConfig::new(3),
        ..case
    };
    let expected = frozen.run(&frozen.layer(&cpu), &x, None, Some(&dy), &dy).1;
    for which in [1, 2] {
        for (found, expected) in found[which].iter().zip(&expected[which]) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }
}
