//! Layers that are saved and loaded again.

use batchnorm::safetensors::SafeTensors;
use batchnorm::{Averaging, BatchNorm, BatchNormConfig, Compute, DType, Error, checkpoint};

use crate::{new_layer, state, trained};

/// What γ and β become when they are stored in so many bits after the leading one.
fn rounded<C: Compute>(values: &[C], mantissa_bits: i32) -> Vec<C> {
    let round = |value: f64| {
        let power_of_two = f64::from_bits(value.to_bits() >> 52 << 52);
        let unit = power_of_two * 2.0f64.powi(-mantissa_bits);
        (value / unit).round_ties_even() * unit
    };
    let values = values
        .iter()
        .map(|value| C::from_f64(round(value.to_f64())));
    values.collect()
}

fn check_round_trip<C: Compute>(dtype: DType, mantissa_bits: i32) {
    let config = BatchNormConfig::new(5);
    let layer: BatchNorm<_, C> = trained(config);
    let mut again: BatchNorm<_, C> = new_layer(config);
    again
        .load_bytes(&layer.to_bytes("bn", dtype).unwrap(), "bn")
        .unwrap();
    let (gamma, beta, running) = state(&layer);
    let stored = |values: Option<Vec<C>>| Some(rounded(&values.unwrap(), mantissa_bits));
    assert_eq!(
        state(&again),
        (stored(gamma), stored(beta), running),
        "{dtype}"
    );
}

#[test]
fn layers_come_back_with_weights_rounded_and_statistics_bit_for_bit() {
    check_round_trip::<f32>(DType::F16, 10);
    check_round_trip::<f32>(DType::BF16, 7);
    check_round_trip::<f32>(DType::F32, 23);
    check_round_trip::<f32>(DType::F64, 23);
    check_round_trip::<f64>(DType::F16, 10);
    check_round_trip::<f64>(DType::BF16, 7);
    check_round_trip::<f64>(DType::F32, 23);
    check_round_trip::<f64>(DType::F64, 52);
}

#[test]
fn unusual_values_come_back_bit_for_bit() {
    let mut layer: BatchNorm<_> = new_layer(BatchNormConfig::new(4));
    let odd = [-0.0f32, f32::MIN_POSITIVE / 8.0, f32::INFINITY, f32::NAN];
    layer.gamma_mut().unwrap().set(&odd).unwrap();
    let variances = [-0.0f32, f32::MIN_POSITIVE / 8.0, f32::INFINITY, f32::MAX];
    layer
        .running_mut()
        .unwrap()
        .set(&odd, &variances, 1 << 62)
        .unwrap();
    let mut again: BatchNorm<_> = new_layer(BatchNormConfig::new(4));
    let bytes = layer.to_bytes("", DType::F32).unwrap();
    again.load_bytes(&bytes, "").unwrap();
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let (gamma, _, running) = state(&again);
    let (mean, variance, count) = running.unwrap();
    for values in [gamma.unwrap(), mean] {
        assert_eq!(bits(values), bits(odd.to_vec()));
    }
    assert_eq!(bits(variance), bits(variances.to_vec()));
    assert_eq!(count, 1 << 62);
}

#[test]
fn layers_share_a_file() {
    let first: BatchNorm<_> = trained(BatchNormConfig::new(3));
    let second: BatchNorm<_, f64> = trained(BatchNormConfig::new(4).beta(false));
    let mut tensors = first.to_tensors("block.bn1", DType::F32).unwrap();
    tensors.extend(second.to_tensors("block.bn10", DType::F64).unwrap());
    let bytes = checkpoint::to_bytes(tensors).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut first_again: BatchNorm<_> = new_layer(BatchNormConfig::new(3));
    first_again.load_tensors(&file, "block.bn1").unwrap();
    assert_eq!(state(&first_again), state(&first));
    let mut second_again: BatchNorm<_, f64> = new_layer(BatchNormConfig::new(4).beta(false));
    second_again.load_tensors(&file, "block.bn10").unwrap();
    assert_eq!(state(&second_again), state(&second));
}

#[test]
fn files_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer.safetensors");
    let layer: BatchNorm<_> = trained(BatchNormConfig::new(3));
    layer.save_file(&path, "bn", DType::F32).unwrap();
    let mut again: BatchNorm<_> = new_layer(BatchNormConfig::new(3));
    again.load_file(&path, "bn").unwrap();
    assert_eq!(state(&again), state(&layer));

    let bytes = checkpoint::read_file(&path).unwrap();
    let file = checkpoint::parse(&bytes).unwrap();
    for _ in 0..2 {
        let mut parsed_once: BatchNorm<_> = new_layer(BatchNormConfig::new(3));
        parsed_once.load_tensors(&file, "bn").unwrap();
        assert_eq!(state(&parsed_once), state(&layer));
    }

    let nowhere = folder.path().join("missing/layer.safetensors");
    let unwritten = layer.save_file(&nowhere, "bn", DType::F32).unwrap_err();
    let unread = again.load_file(&nowhere, "bn").unwrap_err();
    for error in [unwritten, unread] {
        assert!(matches!(error, Error::Checkpoint { .. }));
        assert!(error.to_string().contains("layer.safetensors"), "{error}");
    }
    assert_eq!(state(&again), state(&layer));
}

#[test]
fn settings_are_read_from_what_is_there() {
    for config in [
        BatchNormConfig::new(3),
        BatchNormConfig::new(4).beta(false),
        BatchNormConfig::new(5).without_affine(),
        BatchNormConfig::new(6).averaging(Averaging::Off),
        BatchNormConfig::new(7)
            .averaging(Averaging::Off)
            .gamma(false),
    ] {
        let layer: BatchNorm<_> = trained(config);
        let bytes = layer.to_bytes("a.b", DType::BF16).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(BatchNormConfig::from_tensors(&file, "a.b"), Ok(config));
        let error = BatchNormConfig::from_tensors(&file, "a").unwrap_err();
        assert!(
            matches!(&error, Error::MissingTensor { name, .. } if name == "a.weight"),
            "{error}"
        );
    }
}
