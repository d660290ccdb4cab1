//! What each model computes with this crate's layers beside what it computes with candle's, of the same random weights.

use candle::{DType, Module, Result, Tensor};
use candle_models::models as ours;
use candle_transformers::models as originals;
use candles_own_nn::{Func, VarBuilder, VarMap};

mod weights;

use weights::{random_weights, values};

/// Builds a model from its variables.
type Build<'a> = &'a dyn Fn(VarBuilder<'static>) -> Result<Func<'static>>;

/// Both must agree up to `tolerance`, and differ from sample to sample by much more: else there would be nothing to compare.
fn check(
    original: Build,
    ours: Build,
    size: usize,
    without: &'static [&'static str],
    (dtype, tolerance): (DType, f32),
) -> Result<()> {
    let variables = VarMap::new();
    let weights = || random_weights(&variables, dtype, without);
    let (original, ours) = (original(weights())?, ours(weights())?);
    let x = values(&[2, 3, size, size], 1.0, 1)?.to_dtype(dtype)?;
    let expected = original.forward(&x)?.to_dtype(DType::F32)?;
    let found = ours.forward(&x)?.to_dtype(DType::F32)?;
    let of_samples = distance(&expected.get(0)?, &expected.get(1)?)?;
    let distance = distance(&found, &expected)?;
    println!("{dtype:?}: {distance:e} apart, two samples {of_samples:e}");
    assert!(distance < tolerance, "{distance:e}");
    assert!(
        of_samples > 20. * distance && of_samples > 1e-4,
        "{of_samples:e}"
    );
    Ok(())
}

/// The largest difference relative to the largest value of `b`.
fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
    assert_eq!(a.dims(), b.dims());
    let largest = |t: &Tensor| t.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>();
    let (difference, scale) = (largest(&(a - b)?)?, largest(b)?);
    assert!(difference.is_finite() && scale.is_finite() && scale > 0.0);
    Ok(difference / scale)
}

const IN_F32: (DType, f32) = (DType::F32, 1e-4);
/// Roundings of the half type add up over the layers.
const IN_F16: (DType, f32) = (DType::F16, 5e-3);

/// A test of a model, given the height and width of its images and what builds it in a module of models.
macro_rules! model {
    ($name:ident, $size:literal, $type:expr, without [$($without:literal),*], |$models:ident, $vb:ident| $build:expr) => {
        #[test]
        fn $name() -> Result<()> {
            let original = |$vb: VarBuilder<'static>| {
                use originals as $models;
                $build
            };
            let ours = |$vb: VarBuilder<'static>| {
                use ours as $models;
                $build
            };
            check(&original, &ours, $size, &[$($without),*], $type)
        }
    };
}

model!(convmixer, 42, IN_F32, without [], |models, vb| {
    models::convmixer::c1024_20(10, vb)
});
model!(efficientnet, 64, IN_F32, without [], |models, vb| {
    use models::efficientnet::{EfficientNet, MBConvConfig};
    let model = EfficientNet::new(vb, MBConvConfig::b0(), 10)?;
    Ok(Func::new(move |x: &Tensor| model.forward(x)))
});
model!(efficientvit, 112, IN_F32, without [], |models, vb| {
    use models::efficientvit::{efficientvit, Config};
    efficientvit(&Config::m0(), 10, vb)
});
// The parts that timm's files do not have for it.
model!(fastvit, 64, IN_F32, without ["conv_scale", "stages.0.downsample"], |models, vb| {
    use models::fastvit::{fastvit, Config};
    fastvit(&Config::sa12(), 10, vb)
});
model!(mobilenetv4, 64, IN_F32, without [], |models, vb| {
    use models::mobilenetv4::{mobilenetv4, Config};
    mobilenetv4(&Config::hybrid_medium(), 10, vb)
});
model!(mobileone, 64, IN_F32, without [], |models, vb| {
    use models::mobileone::{mobileone, Config};
    mobileone(&Config::s1(), 10, vb)
});
model!(repvgg, 64, IN_F32, without [], |models, vb| {
    use models::repvgg::{repvgg, Config};
    repvgg(&Config::a0(), 10, vb)
});
model!(resnet_50, 64, IN_F32, without [], |models, vb| {
    models::resnet::resnet50(10, vb)
});
model!(resnet_18_of_halves, 64, IN_F16, without [], |models, vb| {
    models::resnet::resnet18(10, vb)
});
