//! Memory orders: channels last as it is, anything else through a copy.

use batchnorm::Shape;
use candle_core::{Result, Tensor, Var};
use candle_nn::ModuleT;

use crate::data::{Both, distance, tensor};

/// y, dx and the parameters' gradients.
fn step(x: &Var, dy: &Tensor) -> Result<[Tensor; 4]> {
    let layer = Both::new(5, 1e-3, 0.2)?.ours;
    let y = layer.forward_t(x, true)?;
    let gradients = (&y * dy)?.sum_all()?.backward()?;
    let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
    let (gamma, beta) = layer.weight_and_bias().expect("affine");
    let (dx, dgamma, dbeta) = (of(x), of(gamma), of(beta));
    Ok([y, dx, dgamma, dbeta])
}

#[test]
fn channels_last_stays_channels_last() -> Result<()> {
    let shape = Shape::channels_last(&[3, 4, 6, 5]).unwrap();
    let permuted = tensor(&shape, 0.2, 1)?;
    assert!(!permuted.is_contiguous());
    let layer = Both::new(5, 1e-3, 0.2)?.ours;
    for train in [true, false] {
        let y = layer.forward_t(&permuted, train)?;
        assert_eq!((y.dims(), y.stride()), (permuted.dims(), permuted.stride()));
        let residual = permuted.contiguous()?;
        let y = layer.forward_t_add(&permuted, &residual, train)?;
        assert_eq!((y.dims(), y.stride()), (permuted.dims(), permuted.stride()));
    }
    Ok(())
}

/// Views of one array of logical axes (N, C, H, W) in every memory order there is.
#[test]
fn results_do_not_depend_on_the_strides() -> Result<()> {
    let shape = Shape::channels_first(&[3, 5, 4, 6]).unwrap();
    let (x, dy) = (tensor(&shape, 0.2, 1)?, tensor(&shape, 0.0, 2)?);
    let expected = step(&Var::from_tensor(&x)?, &dy)?;
    for (there, back) in [
        ([0, 2, 3, 1], [0, 3, 1, 2]),
        ([1, 0, 2, 3], [1, 0, 2, 3]),
        ([3, 2, 1, 0], [3, 2, 1, 0]),
        ([0, 1, 3, 2], [0, 1, 3, 2]),
    ] {
        // The same values in another order in memory, as a view of a variable.
        let memory = Var::from_tensor(&x.permute(there)?.contiguous()?)?;
        let layer = Both::new(5, 1e-3, 0.2)?.ours;
        let y = layer.forward_t(&memory.permute(back)?, true)?;
        let gradients = (&y * &dy)?.sum_all()?.backward()?;
        let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
        let (gamma, beta) = layer.weight_and_bias().expect("affine");
        let dx = of(&memory).permute(back)?;
        for (found, expected) in [y, dx, of(gamma), of(beta)].iter().zip(&expected) {
            assert!(distance(found, expected)? < 1e-5, "{there:?}");
        }
    }
    Ok(())
}

#[test]
fn a_part_of_a_larger_tensor_is_normalized_alone() -> Result<()> {
    let shape = Shape::channels_first(&[6, 5, 4, 6]).unwrap();
    let (whole, layer) = (tensor(&shape, 0.2, 1)?, Both::new(5, 1e-3, 0.2)?.ours);
    for part in [whole.narrow(0, 2, 3)?, whole.narrow(3, 1, 4)?] {
        let expected = layer.forward_t(&part.copy()?.contiguous()?, false)?;
        assert_eq!(distance(&layer.forward_t(&part, false)?, &expected)?, 0.0);
    }
    Ok(())
}
