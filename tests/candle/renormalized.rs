//! Batch renormalization in candle's graph: the bits of the crate's own layer.

use batchnorm::{Cpu, Renormalization, Shape};
use candle_core::{Result, Tensor, Var};
use candle_nn::ModuleT;

use crate::data::{Both, tensor};

fn vector(of: &Tensor) -> Result<Vec<f32>> {
    of.flatten_all()?.to_vec1()
}

#[test]
fn a_batch_is_renormalized_as_by_the_layer_itself() -> Result<()> {
    let shape = Shape::channels_first(&[4, 3, 5]).unwrap();
    let limits = Renormalization::new(1.2, 0.3);
    let mut candle = Both::new(3, 1e-5, 0.1)?.ours;
    let (gamma, beta) = candle.weight_and_bias().expect("affine");
    let (gamma, beta) = (gamma.clone(), beta.clone());
    let config = batchnorm::BatchNormConfig::new(3).renormalization(limits);
    let mut own = batchnorm::BatchNorm::new(&Cpu::new(), config).unwrap();
    own.gamma_mut().unwrap().set(&vector(&gamma)?).unwrap();
    own.beta_mut().unwrap().set(&vector(&beta)?).unwrap();
    let (mean, variance) = (
        vector(candle.running_mean())?,
        vector(candle.running_var())?,
    );
    own.running_mut().unwrap().set(&mean, &variance, 1).unwrap();

    let x = Var::from_tensor(&tensor(&shape, 0.2, 1)?)?;
    let dy = tensor(&shape, 0.1, 2)?;
    let plain = vector(&candle.forward_t(&x, false)?)?;
    candle.set_renormalization(limits)?;
    assert_eq!(vector(&candle.forward_t(&x, false)?)?, plain);
    let y = candle.forward_t(&x, true)?;
    let gradients = (&y * &dy)?.sum_all()?.backward()?;

    let own_tensor = |of: &Tensor| -> Result<_> {
        let values = vector(of)?;
        Ok(batchnorm::Tensor::new(&Cpu::new(), shape, &values).unwrap())
    };
    let (expected, pass) = own.forward_training(own_tensor(&x)?).unwrap();
    let own_gradients = pass.backward(&own_tensor(&dy)?).unwrap();
    assert_eq!(vector(&y)?, expected.to_vec().unwrap());
    let of = |of: &Tensor| vector(gradients.get(of).expect("a gradient"));
    assert_eq!(of(&x)?, own_gradients.input.to_vec().unwrap());
    assert_eq!(of(&gamma)?, own_gradients.gamma.unwrap().to_vec().unwrap());
    assert_eq!(of(&beta)?, own_gradients.beta.unwrap().to_vec().unwrap());
    let running = own.running().unwrap();
    assert_eq!(
        vector(candle.running_mean())?,
        running.mean().to_vec().unwrap()
    );
    assert_eq!(
        vector(candle.running_var())?,
        running.variance().to_vec().unwrap()
    );
    Ok(())
}

#[test]
fn limits_that_are_none_are_refused_and_nothing_changes() -> Result<()> {
    let mut layer = Both::new(3, 1e-5, 0.1)?.ours;
    let refused = layer.set_renormalization(Renormalization::new(0.5, 1.0));
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("r_max of renormalization must be"),
        "{refused}"
    );
    assert_eq!(layer.config().renormalization, None);
    Ok(())
}
