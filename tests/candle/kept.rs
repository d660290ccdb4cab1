//! Batches of which not all is kept in candle's graph: the bits of the crate's own layer, in either memory order.

use batchnorm::candle::{BatchNorm, error_of};
use batchnorm::{Cpu, Error, Kept, Shape};
use candle_core::{Result, Tensor, Var};

use crate::data::{Both, tensor};

const LENGTHS: [usize; 4] = [5, 0, 3, 1];

fn vector(of: &Tensor) -> Result<Vec<f32>> {
    of.flatten_all()?.to_vec1()
}

fn layer() -> Result<BatchNorm> {
    Ok(Both::new(3, 1e-5, 0.1)?.ours)
}

#[test]
fn a_batch_is_kept_in_part_as_by_the_layer_itself() -> Result<()> {
    let shape = Shape::channels_first(&[4, 3, 5]).unwrap();
    let kept = Kept::lengths(&shape, &LENGTHS).unwrap();
    let candle = layer()?;
    let (gamma, beta) = candle.weight_and_bias().expect("affine");
    let mut own =
        batchnorm::BatchNorm::new(&Cpu::new(), batchnorm::BatchNormConfig::new(3)).unwrap();
    own.gamma_mut().unwrap().set(&vector(gamma)?).unwrap();
    own.beta_mut().unwrap().set(&vector(beta)?).unwrap();
    let running = [candle.running_mean(), candle.running_var()].map(|of| vector(of).unwrap());
    own.running_mut()
        .unwrap()
        .set(&running[0], &running[1], 1)
        .unwrap();

    let garbage = |values: &Tensor| -> Result<Tensor> {
        let mut values = vector(values)?;
        for (n, length) in LENGTHS.into_iter().enumerate() {
            for (c, s) in (0..3).flat_map(|c| (length..5).map(move |s| (c, s))) {
                values[shape.index(n, c, s)] = f32::NAN;
            }
        }
        Tensor::from_vec(values, (4, 3, 5), &candle_core::Device::Cpu)
    };
    let x = Var::from_tensor(&garbage(&tensor(&shape, 0.2, 1)?)?)?;
    let residual = Var::from_tensor(&garbage(&tensor(&shape, 0.4, 3)?)?)?;
    let dy = tensor(&shape, 0.1, 2)?;
    let y = candle.forward_t_kept(&x, Some(&residual), &kept, true)?;
    let gradients = (&y * &dy)?.sum_all()?.backward()?;

    let own_tensor = |of: &Tensor| -> Result<_> {
        let values = vector(of)?;
        Ok(batchnorm::Tensor::new(&Cpu::new(), shape, &values).unwrap())
    };
    let (expected, pass) = own
        .forward_training_add(kept.of(own_tensor(&x)?), &own_tensor(&residual)?)
        .unwrap();
    let own_gradients = pass.backward(&own_tensor(&dy)?).unwrap();
    assert_eq!(vector(&y)?, expected.to_vec().unwrap());
    let of = |of: &Tensor| vector(gradients.get(of).expect("a gradient"));
    assert_eq!(of(&x)?, own_gradients.input.to_vec().unwrap());
    assert_eq!(
        of(&residual)?,
        own_gradients.residual.unwrap().to_vec().unwrap()
    );
    assert_eq!(of(gamma)?, own_gradients.gamma.unwrap().to_vec().unwrap());
    assert_eq!(of(beta)?, own_gradients.beta.unwrap().to_vec().unwrap());
    let running = own.running().unwrap();
    assert_eq!(
        vector(candle.running_mean())?,
        running.mean().to_vec().unwrap()
    );
    assert_eq!(
        vector(candle.running_var())?,
        running.variance().to_vec().unwrap()
    );

    let found = vector(&candle.forward_t_kept(&x, None, &kept, false)?)?;
    let expected = own.forward_inference(&kept.of(own_tensor(&x)?)).unwrap();
    assert_eq!(found, expected.to_vec().unwrap());
    // (N, L, C) in memory, seen as (N, C, L).
    let last = x.transpose(1, 2)?.contiguous()?.transpose(1, 2)?;
    let of_last = vector(&candle.forward_t_kept(&last, None, &kept, false)?)?;
    assert_eq!(of_last, found);
    Ok(())
}

#[test]
fn what_is_kept_of_another_shape_is_refused() -> Result<()> {
    let shape = Shape::channels_first(&[4, 3, 5]).unwrap();
    let kept = Kept::lengths(&shape, &LENGTHS).unwrap();
    let x = tensor(&Shape::channels_first(&[4, 3, 6]).unwrap(), 0.2, 1)?;
    let candle = layer()?;
    let before = vector(candle.running_mean())?;
    let error = candle.forward_t_kept(&x, None, &kept, true).unwrap_err();
    let found = error_of(&error);
    assert!(
        matches!(found, Some(Error::ShapeMismatch { .. })),
        "{error}"
    );
    assert_eq!(vector(candle.running_mean())?, before);
    Ok(())
}
