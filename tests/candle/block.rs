//! A network with a residual block, trained with either layer from the same start: the same losses.

use batchnorm::Activation;
use batchnorm::candle::BatchNorm;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{ModuleT, Optimizer, SGD};

use crate::data::{Both, values};

const CHANNELS: usize = 8;
const CLASSES: usize = 4;
const SAMPLES: usize = 32;
const SIDE: usize = 8;
const STEPS: usize = 30;

/// A normalization layer, and what comes behind it.
trait Normalize {
    fn relu(&self, x: &Tensor) -> Result<Tensor>;
    fn add_relu(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor>;
    fn parameters(&self) -> [Var; 2];
}

impl Normalize for candle_nn::BatchNorm {
    fn relu(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_t(x, true)?.relu()
    }
    fn add_relu(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        (self.forward_t(x, true)? + residual)?.relu()
    }
    fn parameters(&self) -> [Var; 2] {
        variables(self.weight_and_bias().expect("affine"))
    }
}

/// With ReLU in the layer.
impl Normalize for BatchNorm {
    fn relu(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_t(x, true)
    }
    fn add_relu(&self, x: &Tensor, residual: &Tensor) -> Result<Tensor> {
        self.forward_t_add(x, residual, true)
    }
    fn parameters(&self) -> [Var; 2] {
        variables(self.weight_and_bias().expect("affine"))
    }
}

fn variables((weight, bias): (&Tensor, &Tensor)) -> [Var; 2] {
    [weight, bias].map(|tensor| Var::from_tensor(tensor).expect("a variable"))
}

/// A weight of this shape with He's deviation.
fn weight(dims: &[usize], seed: u64) -> Result<Var> {
    let inputs: usize = dims[1..].iter().product();
    let scale = (2.0 / inputs as f64).sqrt();
    let values = values(dims.iter().product(), 0.0, seed);
    Var::from_tensor(&Tensor::from_vec(values, dims, &Device::Cpu)?.affine(scale, 0.0)?)
}

/// Each class has a pattern of its own under the noise.
fn samples() -> Result<(Tensor, Tensor)> {
    let labels: Vec<u32> = (0..SAMPLES)
        .map(|n| u32::try_from(n % CLASSES).expect("small"))
        .collect();
    let patterns = Tensor::from_vec(
        values(CLASSES * SIDE * SIDE, 0.0, 5),
        (CLASSES, 1, SIDE, SIDE),
        &Device::Cpu,
    )?;
    let labels = Tensor::new(labels, &Device::Cpu)?;
    let noise = Tensor::from_vec(
        values(SAMPLES * SIDE * SIDE, 0.0, 6),
        (SAMPLES, 1, SIDE, SIDE),
        &Device::Cpu,
    )?;
    let x = (patterns.index_select(&labels, 0)? + noise)?;
    Ok((x, labels))
}

/// The losses of a training: convolution, norm, ReLU; a block of two with a residual; mean over space; linear.
fn train<N: Normalize>(norms: &[N; 3]) -> Result<Vec<f32>> {
    let convolutions = [
        weight(&[CHANNELS, 1, 3, 3], 21)?,
        weight(&[CHANNELS, CHANNELS, 3, 3], 22)?,
        weight(&[CHANNELS, CHANNELS, 3, 3], 23)?,
    ];
    let linear = weight(&[CLASSES, CHANNELS], 24)?;
    let mut all: Vec<Var> = convolutions.to_vec();
    all.push(linear.clone());
    all.extend(norms.iter().flat_map(Normalize::parameters));
    let mut optimizer = SGD::new(all, 0.2)?;
    let (x, labels) = samples()?;
    (0..STEPS)
        .map(|_| {
            let convolve = |x: &Tensor, at: usize| x.conv2d(&convolutions[at], 1, 1, 1, 1);
            let stem = norms[0].relu(&convolve(&x, 0)?)?;
            let inner = norms[1].relu(&convolve(&stem, 1)?)?;
            let block = norms[2].add_relu(&convolve(&inner, 2)?, &stem)?;
            let logits = block.flatten_from(2)?.mean(2)?.matmul(&linear.t()?)?;
            let loss = candle_nn::loss::cross_entropy(&logits, &labels)?;
            optimizer.backward_step(&loss)?;
            loss.to_dtype(DType::F32)?.to_scalar()
        })
        .collect()
}

#[test]
fn both_layers_train_alike() -> Result<()> {
    let pairs = [(); 3].map(|()| Both::new(CHANNELS, 1e-5, 0.1));
    let [a, b, c] = pairs;
    let (a, b, c) = (a?, b?, c?);
    let theirs = [a.candle, b.candle, c.candle];
    let ours = [a.ours, b.ours, c.ours].map(|layer| layer.with_activation(Activation::Relu));
    let (expected, found) = (train(&theirs)?, train(&ours)?);
    println!("step  candle's layer  this one");
    for (step, (expected, found)) in expected.iter().zip(&found).enumerate() {
        println!("{step:4}  {expected:14.6}  {found:8.6}");
        // Rounding differs, and a training magnifies it.
        assert!(
            (expected - found).abs() < 1e-3 * (1.0 + expected),
            "step {step}"
        );
    }
    assert!((expected[0] - found[0]).abs() < 1e-5 * expected[0]);
    assert!(
        found[STEPS - 1] < 0.3 * found[0],
        "{} to {}",
        found[0],
        found[STEPS - 1]
    );
    for (theirs, ours) in theirs.iter().zip(&ours) {
        let distance = crate::data::distance(ours.running_var(), theirs.running_var())?;
        assert!(distance < 1e-2, "{distance}");
    }
    Ok(())
}
