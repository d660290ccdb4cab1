//! Random weights of a model, the same in every run.

use std::hash::{DefaultHasher, Hash, Hasher};

use candle::{DType, Device, Result, Shape, Tensor, Var};
use candles_own_nn::var_builder::SimpleBackend;
use candles_own_nn::{Init, VarBuilder, VarMap};
use digits_data::random::Random;

/// Variables that are made when a model asks for them, such that what goes through many layers neither grows nor vanishes, and with
/// running statistics that are not those that a layer begins with.
pub struct RandomWeights {
    variables: VarMap,
    /// What the names have that are not there: parts of a model are optional.
    without: &'static [&'static str],
}

/// Variables of `variables`, which has those that it lacks made; none with any of `without` in its name.
pub fn random_weights(
    variables: &VarMap,
    dtype: DType,
    without: &'static [&'static str],
) -> VarBuilder<'static> {
    let variables = variables.clone();
    let weights = RandomWeights { variables, without };
    VarBuilder::from_backend(Box::new(weights), dtype, Device::Cpu)
}

impl SimpleBackend for RandomWeights {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, _: &Device) -> Result<Tensor> {
        // A convolution without a kernel is one that a model does not have.
        if !self.contains_tensor(name) || shape.elem_count() == 0 {
            candle::bail!("there is no {name} of {shape:?}")
        }
        let mut variables = self.variables.data().lock().expect("the variables");
        if let Some(variable) = variables.get(name) {
            return Ok(variable.as_tensor().clone());
        }
        let variable = Var::from_tensor(&random(name, shape.dims())?.to_dtype(dtype)?)?;
        variables.insert(name.to_owned(), variable.clone());
        Ok(variable.into_inner())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        candle::bail!("{name} was asked for without a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        !self.without.iter().any(|without| name.contains(without))
    }
}

fn random(name: &str, dims: &[usize]) -> Result<Tensor> {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    let centered = |range| values(dims, range, hasher.finish());
    match (name.rsplit('.').next(), dims) {
        (Some("running_mean" | "bias"), _) => centered(0.2),
        // Of a batch norm, or a scale.
        (_, [_] | [_, 1, 1]) => centered(0.3)? + 1.0,
        (_, of_outputs) => {
            let inputs: usize = of_outputs[1..].iter().product();
            centered((6.0 / inputs as f64).sqrt())
        }
    }
}

/// Values from `-range` to `range`.
pub fn values(dims: &[usize], range: f64, seed: u64) -> Result<Tensor> {
    let mut random = Random::new(seed);
    let count = dims.iter().product();
    let values: Vec<f32> = (0..count).map(|_| random.symmetric()).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)? * range
}
