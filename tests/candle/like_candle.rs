//! The same outputs, gradients and running statistics as candle's own layer, in `f32`.

use batchnorm::Shape;
use candle_core::{Result, Tensor, Var};
use candle_nn::ModuleT;
use contract_suite::shapes;

use crate::data::{Both, distance, tensor};

/// candle sums in `f32` one after the other; this crate does not.
const TOLERANCE: f32 = 2e-5;
/// With two values per channel dx is what little remains of terms that cancel.
const OF_TWO: f32 = 2e-4;

/// y, and the gradients of x, γ and β under dy.
fn pass(
    layer: &impl ModuleT,
    affine: (&Tensor, &Tensor),
    x: &Var,
    dy: &Tensor,
    train: bool,
) -> Result<[Tensor; 4]> {
    let y = layer.forward_t(x, train)?;
    let gradients = (&y * dy)?.sum_all()?.backward()?;
    let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
    Ok([y, of(x), of(affine.0), of(affine.1)])
}

fn check(shape: &Shape, train: bool) -> Result<()> {
    let both = Both::new(shape.channels(), 1e-3, 0.2)?;
    let x = Var::from_tensor(&tensor(shape, 0.7, 1)?)?;
    let dy = tensor(shape, 0.1, 2)?;
    let theirs = both.candle.weight_and_bias().expect("affine");
    let expected = pass(&both.candle, theirs, &x, &dy, train)?;
    let ours = both.ours.weight_and_bias().expect("affine");
    let found = pass(&both.ours, ours, &x, &dy, train)?;
    let names = [
        "y",
        "dx",
        "dgamma",
        "dbeta",
        "running mean",
        "running variance",
    ];
    let running = |mean: &Tensor, variance: &Tensor| [mean.clone(), variance.clone()];
    let expected = expected.into_iter().chain(running(
        both.candle.running_mean(),
        both.candle.running_var(),
    ));
    let found = found
        .into_iter()
        .chain(running(both.ours.running_mean(), both.ours.running_var()));
    for ((found, expected), name) in found.zip(expected).zip(names) {
        let mut distance = distance(&found, &expected)?;
        if matches!(name, "dgamma" | "dbeta") {
            // Sums of as many terms of either sign, of about one: where they happen to cancel, they are no better for it.
            let largest = expected.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
            let usual = (shape.values_per_channel() as f32).sqrt();
            distance *= largest / largest.max(usual);
        }
        let tolerance = match shape.values_per_channel() {
            2 => OF_TWO,
            _ => TOLERANCE,
        };
        assert!(distance < tolerance, "{name} of {shape}: {distance:e}");
    }
    Ok(())
}

#[test]
fn training_over_the_contract_shapes() -> Result<()> {
    for shape in shapes::small().iter().chain(&shapes::ranks()) {
        check(shape, true)?;
    }
    Ok(())
}

#[test]
fn inference_with_gradients_over_the_contract_shapes() -> Result<()> {
    for shape in shapes::small().iter().chain(&shapes::ranks()) {
        check(shape, false)?;
    }
    Ok(())
}

#[test]
fn large_shapes() -> Result<()> {
    for shape in shapes::large().into_iter().chain(shapes::streamed(4)) {
        check(&shape, true)?;
        check(&shape, false)?;
    }
    Ok(())
}
