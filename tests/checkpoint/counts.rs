//! The number of batches, which a file may have in many ways.

use batchnorm::safetensors::Dtype;
use batchnorm::{Averaging, BatchNorm, BatchNormConfig, DType, Error};

use crate::changed_file::{floats, load_changed};
use crate::new_layer;

#[test]
fn counts_of_other_integer_types_are_read_and_none_is_zero() {
    let count = |dtype, shape: Vec<usize>, bytes: Vec<u8>| {
        let state = load_changed(BatchNormConfig::new(2), |tensors| {
            tensors.insert("num_batches_tracked", (dtype, shape, bytes));
        });
        state.map(|(_, _, running)| running.unwrap().2)
    };
    assert_eq!(
        count(Dtype::I32, vec![], 300i32.to_le_bytes().to_vec()),
        Ok(300)
    );
    assert_eq!(
        count(Dtype::I64, vec![1], 300i64.to_le_bytes().to_vec()),
        Ok(300)
    );
    assert_eq!(
        count(Dtype::U64, vec![], u64::MAX.to_le_bytes().to_vec()),
        Ok(u64::MAX)
    );
    for (dtype, bytes) in [
        (Dtype::I32, (-3i32).to_le_bytes().to_vec()),
        (Dtype::I64, (-3i64).to_le_bytes().to_vec()),
    ] {
        let error = count(dtype, vec![], bytes).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }));
        assert!(error.to_string().contains("is -3"), "{error}");
    }
    let (gamma, _, running) = load_changed(BatchNormConfig::new(2), |tensors| {
        tensors.remove("num_batches_tracked");
    })
    .unwrap();
    assert_eq!(gamma, Some(vec![10.0, 20.0]));
    assert_eq!(running, Some((vec![50.0, 60.0], vec![70.0, 80.0], 0)));
}

#[test]
fn counts_stored_as_floats_are_read_if_they_are_whole() {
    let count = |dtype, bytes: Vec<u8>| {
        let state = load_changed(BatchNormConfig::new(2), |tensors| {
            tensors.insert("num_batches_tracked", (dtype, vec![], bytes));
        });
        state.map(|(_, _, running)| running.unwrap().2)
    };
    assert_eq!(count(Dtype::F32, floats(&[300.0])), Ok(300));
    assert_eq!(count(Dtype::F32, floats(&[-0.0])), Ok(0));
    assert_eq!(
        count(Dtype::F64, 3e15f64.to_le_bytes().to_vec()),
        Ok(3_000_000_000_000_000)
    );
    assert_eq!(
        count(Dtype::F16, half::f16::from_f32(7.0).to_le_bytes().to_vec()),
        Ok(7)
    );
    assert_eq!(
        count(
            Dtype::BF16,
            half::bf16::from_f32(256.0).to_le_bytes().to_vec()
        ),
        Ok(256)
    );
    for wrong in [0.5, -1.0, f32::NAN, f32::INFINITY, 2.0f32.powi(64)] {
        let error = count(Dtype::F32, floats(&[wrong])).unwrap_err();
        assert!(error.to_string().contains("a number of batches"), "{error}");
    }
}

#[test]
fn a_cumulative_average_of_unknown_many_batches_is_refused() {
    let config = BatchNormConfig::new(2).averaging(Averaging::Cumulative);
    let error = load_changed(config, |tensors| {
        tensors.remove("num_batches_tracked");
    })
    .unwrap_err();
    let is_missing =
        matches!(&error, Error::MissingTensor { name, .. } if name == "num_batches_tracked");
    assert!(is_missing, "{error}");
    let (_, _, running) = load_changed(config, |_| ()).unwrap();
    assert_eq!(running.unwrap().2, 5);
}

#[test]
fn a_count_beyond_i64_is_not_saved() {
    let mut layer: BatchNorm<_> = new_layer(BatchNormConfig::new(1));
    layer
        .running_mut()
        .unwrap()
        .set(&[0.0], &[1.0], 1 << 63)
        .unwrap();
    let error = layer.to_bytes("", DType::F32).unwrap_err();
    assert!(matches!(error, Error::Value { .. }), "{error}");
}
