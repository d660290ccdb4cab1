//! The layer among candle's variables: names, sharing, taking over candle's own layer, freezing.

use batchnorm::Activation;
use batchnorm::candle::{BatchNorm, BatchNormConfig, batch_norm};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{ModuleT, VarBuilder, VarMap};

use crate::data::{Both, distance};

fn input() -> Result<Tensor> {
    Tensor::arange(0f32, 24., &Device::Cpu)?.reshape((4, 3, 2))
}

#[test]
fn a_checkpoint_of_candle_s_layer_is_one_of_this_layer() -> Result<()> {
    let theirs = VarMap::new();
    let vb = |map: &VarMap| VarBuilder::from_varmap(map, DType::F32, &Device::Cpu);
    let candle = candle_nn::batch_norm(3, 1e-3, vb(&theirs).pp("bn1"))?;
    candle.forward_t(&input()?, true)?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    theirs.save(&path)?;

    let mut map = VarMap::new();
    let ours = batch_norm(3, 1e-3, vb(&map).pp("bn1"))?;
    let mut names: Vec<String> = map.data().lock().expect("names").keys().cloned().collect();
    names.sort();
    assert_eq!(
        names,
        [
            "bn1.bias",
            "bn1.running_mean",
            "bn1.running_var",
            "bn1.weight"
        ]
    );
    map.load(&path)?;
    let expected = candle.forward_t(&input()?, false)?;
    assert!(distance(&ours.forward_t(&input()?, false)?, &expected)? < 1e-6);
    Ok(())
}

#[test]
fn running_statistics_are_variables_of_the_map() -> Result<()> {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let layer = batch_norm(3, 1e-5, vb)?;
    layer.forward_t(&input()?, true)?;
    let data = map.data().lock().expect("variables");
    let stored = data["running_mean"].to_vec1::<f32>()?;
    assert_eq!(stored, layer.running_mean().to_vec1::<f32>()?);
    assert_ne!(stored, [0.0; 3]);
    Ok(())
}

/// Channel 1 of a batch with a NaN and an infinity.
#[test]
fn running_statistics_stay_finite_on_request() -> Result<()> {
    let mut values: Vec<f32> = (0u8..24).map(f32::from).collect();
    (values[2], values[3]) = (f32::NAN, f32::INFINITY);
    let x = Tensor::from_vec(values, (4, 3, 2), &Device::Cpu)?;
    for keep_running_finite in [false, true] {
        let config = BatchNormConfig {
            keep_running_finite,
            ..BatchNormConfig::default()
        };
        let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
        let layer = batch_norm(3, config, vb)?;
        layer.forward_t(&x, true)?;
        let mean = layer.running_mean().to_vec1::<f32>()?;
        let variance = layer.running_var().to_vec1::<f32>()?;
        assert!(mean[0] > 0.1 && mean[2] > 0.1 && variance[0] > 1.1);
        if keep_running_finite {
            assert_eq!((mean[1], variance[1]), (0.0, 1.0));
        } else {
            assert!(mean[1].is_nan() && variance[1].is_nan());
        }
    }
    Ok(())
}

#[test]
fn taking_over_candle_s_layer_shares_its_variables() -> Result<()> {
    let candle = Both::new(3, 1e-3, 0.2)?.candle;
    let ours = BatchNorm::try_from(candle.clone())?;
    assert_eq!((ours.eps(), ours.momentum()), (1e-3, 0.2));
    ours.forward_t(&input()?, true)?;
    assert_eq!(distance(candle.running_mean(), ours.running_mean())?, 0.0);
    assert_eq!(distance(candle.running_var(), ours.running_var())?, 0.0);
    let (weight, bias) = ours.weight_and_bias().expect("affine");
    assert_eq!(
        distance(weight, candle.weight_and_bias().expect("affine").0)?,
        0.0
    );
    assert_eq!(
        distance(bias, candle.weight_and_bias().expect("affine").1)?,
        0.0
    );
    let plain = candle_nn::BatchNorm::new_no_bias(
        3,
        candle.running_mean().copy()?,
        candle.running_var().copy()?,
        1e-3,
    )?;
    assert!(BatchNorm::try_from(plain)?.weight_and_bias().is_none());
    Ok(())
}

/// candle's layer can be made with an ε that is none.
#[test]
fn a_layer_of_candle_s_that_could_make_no_pass_is_not_taken_over() -> Result<()> {
    for eps in [f64::NAN, f64::INFINITY] {
        let of = |value: f32| Tensor::full(value, 3, &Device::Cpu);
        let candle = candle_nn::BatchNorm::new_no_bias(3, of(0.0)?, of(1.0)?, eps)?;
        let refused = BatchNorm::try_from(candle).expect_err("no ε");
        assert!(
            refused.to_string().contains("eps must be finite"),
            "{refused}"
        );
    }
    Ok(())
}

#[test]
fn candle_s_layer_again_shares_its_variables() -> Result<()> {
    let ours = Both::new(3, 1e-3, 0.2)?.ours;
    let theirs = candle_nn::BatchNorm::try_from(ours.clone())?;
    assert_eq!((theirs.eps(), theirs.momentum()), (1e-3, 0.2));
    ours.forward_t(&input()?, true)?;
    let expected = ours.forward_t(&input()?, false)?;
    assert!(distance(&theirs.forward_t(&input()?, false)?, &expected)? < 1e-6);
    Ok(())
}

/// candle's layer divides by the root of the variance alone.
#[test]
fn a_layer_that_candle_s_would_divide_by_zero_in_does_not_become_one() -> Result<()> {
    let vector = |values: [f32; 2]| Tensor::new(&values, &Device::Cpu);
    let layer =
        |variance, eps| BatchNorm::new_no_bias(2, vector([0.5, 1.0])?, vector(variance)?, eps);
    for (variance, eps, refused) in [
        ([1.0, 0.0], 0.0, true),
        ([1.0, 0.0], 1e-5, false),
        ([1.0, 2.0], 0.0, false),
    ] {
        let theirs = candle_nn::BatchNorm::try_from(layer(variance, eps)?);
        assert_eq!(theirs.is_err(), refused);
        if let Err(error) = theirs {
            let message = error.to_string();
            assert!(message.contains("0 in channel 1"), "{message}");
        }
    }
    Ok(())
}

/// Names that the layer does not show are free for traits of the model's own.
#[test]
fn no_private_name_hides_that_of_a_trait() -> Result<()> {
    trait Apply {
        fn forward(&self, x: &Tensor) -> Result<Tensor>;
        fn of(&self) -> usize;
        fn check_device(&self) -> bool;
    }
    impl Apply for BatchNorm {
        fn forward(&self, x: &Tensor) -> Result<Tensor> {
            self.forward_t(x, false)
        }
        fn of(&self) -> usize {
            self.running_mean().elem_count()
        }
        fn check_device(&self) -> bool {
            self.running_mean().device().is_cpu()
        }
    }
    let layer = Both::new(3, 1e-3, 0.2)?.ours;
    let y = layer.forward(&input()?)?;
    assert_eq!(distance(&y, &layer.forward_t(&input()?, false)?)?, 0.0);
    assert!(layer.of() == 3 && layer.check_device());
    Ok(())
}

#[test]
fn a_frozen_layer_keeps_its_statistics_and_passes_gradients() -> Result<()> {
    let mut layer = Both::new(3, 1e-3, 0.2)?.ours;
    let before = [layer.running_mean().copy()?, layer.running_var().copy()?];
    let x = Var::from_tensor(&input()?)?;
    let expected = layer.forward_t(&x, false)?;
    layer.freeze();
    assert!(layer.is_frozen());
    let y = layer.forward_t(&x, true)?;
    assert_eq!(distance(&y, &expected)?, 0.0);
    let gradients = y.sum_all()?.backward()?;
    // With constant statistics the gradient of Σy is γ·inv_std; through the batch's it would be zero.
    let (gamma, _) = layer.weight_and_bias().expect("affine");
    let slope = (gamma / (layer.running_var() + 1e-3)?.sqrt()?)?.detach();
    let slope = slope
        .reshape((1, 3, 1))?
        .broadcast_as((4, 3, 2))?
        .contiguous()?;
    assert!(distance(gradients.get(&x).expect("dx"), &slope)? < 1e-6);
    assert!(gradients.get(gamma).is_some());
    assert_eq!(distance(layer.running_mean(), &before[0])?, 0.0);
    assert_eq!(distance(layer.running_var(), &before[1])?, 0.0);
    layer.unfreeze();
    layer.forward_t(&x, true)?;
    assert!(distance(layer.running_mean(), &before[0])? > 0.1);
    Ok(())
}

/// An optimizer may set γ and β between a forward pass and its backward.
#[test]
fn gradients_are_those_of_the_parameters_as_they_were() -> Result<()> {
    let dx = |change: bool| {
        let layer = Both::new(3, 1e-3, 0.2)?
            .ours
            .with_activation(Activation::Relu);
        let x = Var::from_tensor(&input()?)?;
        let loss = layer.forward_t(&x, true)?.sqr()?.sum_all()?;
        if change {
            let (weight, bias) = layer.weight_and_bias().expect("affine");
            Var::from_tensor(weight)?.set(&(weight * -3.0)?.detach())?;
            Var::from_tensor(bias)?.set(&(bias + 2.0)?.detach())?;
        }
        let gradients = loss.backward()?;
        Ok::<_, candle_core::Error>(gradients.get(&x).expect("dx").clone())
    };
    assert_eq!(distance(&dx(true)?, &dx(false)?)?, 0.0);
    Ok(())
}

/// x may share the memory of a variable without being one for candle.
#[test]
fn gradients_are_those_of_a_detached_x_as_it_was() -> Result<()> {
    let views: [fn(&Var) -> Result<Tensor>; 4] = [
        |x| Ok(x.as_detached_tensor()),
        |x| x.as_detached_tensor().reshape((2, 3, 4)),
        |x| x.detach().reshape((4, 2, 3))?.permute((0, 2, 1)),
        |x| x.detach().narrow(0, 1, 2),
    ];
    for (view, train) in views
        .into_iter()
        .flat_map(|view| [(view, true), (view, false)])
    {
        let gradients = |change: bool| -> Result<[Tensor; 2]> {
            let layer = Both::new(3, 1e-3, 0.2)?.ours;
            let x = Var::from_tensor(&input()?)?;
            let seen = view(&x)?;
            let residual = Var::from_tensor(&seen.copy()?)?;
            let y = layer.forward_t_add(&seen, &residual, train)?;
            let loss = (y + layer.forward_t(&seen, train)?)?.sqr()?.sum_all()?;
            if change {
                x.set(&(input()?.sqr()? - 7.0)?)?;
            }
            let gradients = loss.backward()?;
            let (weight, bias) = layer.weight_and_bias().expect("affine");
            let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
            Ok([of(weight), of(bias)])
        };
        for (found, expected) in gradients(true)?.iter().zip(&gradients(false)?) {
            assert_eq!(distance(found, expected)?, 0.0, "{train}");
        }
    }
    Ok(())
}

/// x may be a variable, or a view of one in any memory order, that is set between the passes.
#[test]
fn gradients_are_those_of_x_as_it_was() -> Result<()> {
    let whole = |x: &Var| Ok(x.as_tensor().clone());
    let views: [fn(&Var) -> Result<Tensor>; 5] = [
        whole,
        |x| x.reshape((2, 3, 4)),
        |x| x.reshape((4, 2, 3))?.permute((0, 2, 1)),
        |x| x.narrow(0, 1, 2),
        |x| x.narrow(2, 1, 1),
    ];
    for view in views {
        for train in [true, false] {
            let gradients = |change: bool| -> Result<[Tensor; 3]> {
                let layer = Both::new(3, 1e-3, 0.2)?.ours;
                let x = Var::from_tensor(&input()?)?;
                let loss = layer.forward_t(&view(&x)?, train)?.sqr()?.sum_all()?;
                if change {
                    x.set(&(input()?.sqr()? - 7.0)?)?;
                }
                let gradients = loss.backward()?;
                let of = |t: &Tensor| gradients.get(t).expect("a gradient").clone();
                let (weight, bias) = layer.weight_and_bias().expect("affine");
                Ok([of(&x), of(weight), of(bias)])
            };
            for (found, expected) in gradients(true)?.iter().zip(&gradients(false)?) {
                assert_eq!(distance(found, expected)?, 0.0, "{train}");
            }
        }
    }
    Ok(())
}
