//! A critic of handwritten digits that is trained with a gradient penalty (WGAN-GP): with this layer as with candle's own, step by step.
//! Source: Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville 2017, algorithm 1, whose critics have no batch norm, since it makes the
//! gradient of one sample depend on the others; here it shows that the gradients are those of what is written down.

use std::fs::File;
use std::path::Path;

use batchnorm::Activation;
use batchnorm::candle::{BatchNorm, BatchNormConfig, batch_norm};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, ModuleT, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use flate2::read::GzDecoder;

use crate::data::values;
use crate::graph::run_in_one_graph;

const PIXELS: usize = 64;
const HIDDEN: usize = 24;
const BATCH: usize = 48;
const STEPS: usize = 40;
const SLOPE: f64 = 0.2;

/// (rows, 64), from −1 to 1.
fn digits() -> Result<Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/digits.csv.gz");
    let file = GzDecoder::new(File::open(path).expect("the digits"));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(file);
    let mut pixels = vec![];
    for row in reader.deserialize() {
        let row: Vec<u8> = row.expect("a row");
        pixels.extend(
            row[..PIXELS]
                .iter()
                .map(|pixel| f64::from(*pixel) / 8.0 - 1.0),
        );
    }
    let rows = pixels.len() / PIXELS;
    Tensor::from_vec(pixels, (rows, PIXELS), &Device::Cpu)
}

fn random(rows: usize, columns: usize, scale: f64, seed: u64) -> Result<Tensor> {
    let values = Tensor::from_vec(
        values(rows * columns, 0.0, seed),
        (rows, columns),
        &Device::Cpu,
    )?;
    values.to_dtype(DType::F64)? * scale
}

/// Batch norm with leaky ReLU, as an operation of either library.
trait Normalization {
    fn normalize(&self, x: &Tensor) -> Result<Tensor>;
    fn parameters(&self) -> (&Tensor, &Tensor);
}

impl Normalization for BatchNorm {
    fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_t(x, true)
    }
    fn parameters(&self) -> (&Tensor, &Tensor) {
        self.weight_and_bias().expect("affine")
    }
}

impl Normalization for candle_nn::BatchNorm {
    fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::leaky_relu(&self.forward_t(x, true)?, SLOPE)
    }
    fn parameters(&self) -> (&Tensor, &Tensor) {
        self.weight_and_bias().expect("affine")
    }
}

/// The loss and the penalty in it, of each step.
fn train(layer: &impl Normalization, data: &Tensor) -> Result<Vec<[f64; 2]>> {
    let first = Var::from_tensor(&random(PIXELS, HIDDEN, 0.1, 1)?)?;
    let last = Var::from_tensor(&random(HIDDEN, 1, 0.2, 2)?)?;
    let critic = |x: &Tensor| layer.normalize(&x.matmul(&first)?)?.matmul(&last);
    let (gamma, beta) = layer.parameters();
    let parameters = [gamma, beta].map(Var::from_tensor);
    let [gamma, beta] = parameters;
    let settings = ParamsAdamW {
        lr: 0.01,
        weight_decay: 0.0,
        ..ParamsAdamW::default()
    };
    let variables = vec![first.clone(), last.clone(), gamma?, beta?];
    let mut optimizer = AdamW::new(variables, settings)?;
    let mut found = vec![];
    for step in 0..STEPS {
        let real = data.narrow(0, step % 20 * BATCH, BATCH)?;
        let fake = random(BATCH, PIXELS, 0.6, 10 + step as u64)?;
        let share = random(BATCH, 1, 0.1, 100 + step as u64)?.affine(1., 0.5)?;
        let between =
            (real.broadcast_mul(&share)? + fake.broadcast_mul(&share.affine(-1., 1.)?)?)?;
        let between = Var::from_tensor(&between)?;
        let gradients = critic(&between)?.sum_all()?.backward()?;
        let gradient = gradients.get(&between).expect("of the input");
        let norm = gradient.sqr()?.sum(1)?.sqrt()?;
        let penalty = norm.affine(1., -1.)?.sqr()?.mean_all()?;
        let distance = (critic(&fake)?.mean_all()? - critic(&real)?.mean_all()?)?;
        let loss = (distance + (&penalty * 10.0)?)?;
        optimizer.step(&loss.backward()?)?;
        found.push([loss.to_scalar()?, penalty.to_scalar()?]);
    }
    Ok(found)
}

#[test]
fn a_critic_is_trained_with_a_gradient_penalty() {
    run_in_one_graph("penalty::training_in_one_graph");
}

#[test]
#[ignore = "a_critic_is_trained_with_a_gradient_penalty runs it"]
fn training_in_one_graph() -> Result<()> {
    let data = digits()?;
    let variables = || VarBuilder::from_varmap(&VarMap::new(), DType::F64, &Device::Cpu);
    let config = BatchNormConfig {
        activation: Activation::LeakyRelu { slope: SLOPE },
        ..BatchNormConfig::default()
    };
    let found = train(&batch_norm(HIDDEN, config, variables())?, &data)?;
    let expected = train(&candle_nn::batch_norm(HIDDEN, 1e-5, variables())?, &data)?;
    for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
        for i in 0..2 {
            let off = (found[i] - expected[i]).abs();
            assert!(
                off < 1e-6 * (1.0 + expected[i].abs()),
                "{step}: {found:?}, {expected:?}"
            );
        }
    }
    // The gradients' norm comes to one, while the critic tells digits from noise.
    let (begin, end) = (found[0], found[STEPS - 1]);
    println!("loss and penalty: {begin:?}, after {STEPS} steps {end:?}");
    assert!(
        end[0] < begin[0] - 1.0 && end[1] < 0.2,
        "{begin:?}, {end:?}"
    );
    Ok(())
}
