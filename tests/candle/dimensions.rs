//! Inputs of any rank, and empty ones, as candle's own layer takes them.

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::ModuleT;

use crate::data::{Both, distance, values};

/// y and the gradients of x, weight and bias.
fn pass(
    layer: &impl ModuleT,
    affine: (&Tensor, &Tensor),
    (x, seen): (&Var, &Tensor),
    dy: &Tensor,
    train: bool,
) -> Result<[Tensor; 4]> {
    let y = layer.forward_t(seen, train)?;
    assert_eq!(y.dims(), seen.dims());
    let gradients = (&y * dy)?.sum_all()?.backward()?;
    let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
    Ok([y, of(x), of(affine.0), of(affine.1)])
}

fn tensor(dims: &[usize], seed: u64) -> Result<Tensor> {
    Tensor::from_vec(values(dims.iter().product(), 0.3, seed), dims, &Device::Cpu)
}

/// The whole of a pass like candle's, of an input in the memory order that `view` gives it.
fn check(memory: &[usize], view: fn(&Tensor) -> Result<Tensor>, train: bool) -> Result<()> {
    let x = Var::from_tensor(&tensor(memory, 1)?)?;
    let seen = view(&x)?;
    let dy = view(&tensor(memory, 2)?)?;
    let both = Both::new(3, 1e-3, 0.2)?;
    let affine = both.candle.weight_and_bias().expect("affine");
    let expected = pass(&both.candle, affine, (&x, &seen), &dy, train)?;
    let affine = both.ours.weight_and_bias().expect("affine");
    let found = pass(&both.ours, affine, (&x, &seen), &dy, train)?;
    for (found, expected) in found.iter().zip(&expected) {
        assert!(distance(found, expected)? < 2e-5, "{memory:?}");
    }
    let with_residual = both.ours.forward_t_add(&seen, &dy, false)?;
    let expected = (both.ours.forward_t(&seen, false)? + &dy)?;
    assert!(distance(&with_residual, &expected)? < 1e-6);
    assert!(distance(both.ours.running_mean(), both.candle.running_mean())? < 2e-5);
    assert!(distance(both.ours.running_var(), both.candle.running_var())? < 2e-5);
    Ok(())
}

#[test]
fn any_number_of_spatial_dimensions() -> Result<()> {
    for train in [true, false] {
        check(&[4, 3, 2, 2, 3, 2], |x| Ok(x.clone()), train)?;
        check(&[4, 3, 2, 1, 2, 1, 3, 2], |x| Ok(x.clone()), train)?;
        // Channels last.
        check(
            &[4, 2, 2, 3, 2, 3],
            |x| x.permute((0, 5, 1, 2, 3, 4)),
            train,
        )?;
        // Neither memory order.
        check(&[4, 3, 2, 2, 3, 2], |x| x.transpose(2, 4), train)?;
        check(&[3, 4, 2, 2, 3, 2], |x| x.transpose(0, 1), train)?;
    }
    Ok(())
}

/// Where candle's running statistics become NaN, as there is nothing that they could follow.
#[test]
fn an_empty_input_is_an_empty_output_and_leaves_the_running_statistics_alone() -> Result<()> {
    for dims in [
        &[0, 3][..],
        &[0, 3, 2],
        &[2, 3, 0],
        &[2, 3, 4, 0],
        &[0, 3, 0],
        &[2, 3, 0, 1, 5, 2, 2],
    ] {
        for train in [true, false] {
            let both = Both::new(3, 1e-3, 0.2)?;
            let [mean, var] = [
                both.ours.running_mean().copy()?,
                both.ours.running_var().copy()?,
            ];
            let x = Var::from_tensor(&tensor(dims, 1)?)?;
            let expected = both.candle.forward_t(&x, train)?;
            let y = both.ours.forward_t_add(&x, &x, train)?;
            assert_eq!((y.dims(), y.dtype()), (expected.dims(), expected.dtype()));
            let gradients = y.sum_all()?.backward()?;
            assert_eq!(gradients.get(&x).expect("dx").dims(), dims);
            let (weight, _) = both.ours.weight_and_bias().expect("affine");
            let dweight = gradients.get(weight).expect("a gradient");
            assert_eq!(dweight.to_vec1::<f32>()?, [0.0; 3]);
            assert_eq!(distance(both.ours.running_mean(), &mean)?, 0.0);
            assert_eq!(distance(both.ours.running_var(), &var)?, 0.0);
        }
    }
    Ok(())
}
