//! What is refused, and that the layer is then as it was.

use std::collections::BTreeMap;

use batchnorm::safetensors::tensor::TensorView;
use batchnorm::safetensors::{self, Dtype};
use batchnorm::{Averaging, BatchNorm, BatchNormConfig, DType, Error, Result, checkpoint};

use crate::{State, new_layer, state, trained};

#[test]
fn two_layers_under_one_prefix_are_refused() {
    let layer: BatchNorm<_> = trained(BatchNormConfig::new(3));
    let mut tensors = layer.to_tensors("bn", DType::F32).unwrap();
    tensors.extend(layer.to_tensors("bn", DType::F32).unwrap());
    let error = checkpoint::to_bytes(tensors.clone()).unwrap_err();
    assert!(error.to_string().contains("\"bn.weight\""), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.safetensors");
    assert!(checkpoint::save_file(&path, tensors).is_err());
    assert!(!path.exists());
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

/// Tensors of a file that is made wrong on purpose.
type Tensors = BTreeMap<&'static str, (Dtype, Vec<usize>, Vec<u8>)>;

fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

fn good_tensors() -> Tensors {
    let array = |values: &[f32]| (Dtype::F32, vec![values.len()], floats(values));
    BTreeMap::from([
        ("weight", array(&[10.0, 20.0])),
        ("bias", array(&[30.0, 40.0])),
        ("running_mean", array(&[50.0, 60.0])),
        ("running_var", array(&[70.0, 80.0])),
        (
            "num_batches_tracked",
            (Dtype::I64, vec![], vec![5, 0, 0, 0, 0, 0, 0, 0]),
        ),
    ])
}

fn serialize(tensors: &Tensors) -> Vec<u8> {
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// Loads what `change` made of a good file; where that is refused, the layer must be as it was.
fn load_changed(config: BatchNormConfig, change: impl FnOnce(&mut Tensors)) -> Result<State<f32>> {
    let mut tensors = good_tensors();
    change(&mut tensors);
    let mut layer: BatchNorm<_> = trained(config);
    let before = state(&layer);
    let result = layer.load_bytes(&serialize(&tensors), "");
    if result.is_err() {
        assert_eq!(state(&layer), before, "a refused file changed the layer");
    } else {
        assert_ne!(state(&layer), before);
    }
    result.map(|()| state(&layer))
}

const NAMES: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

#[test]
fn missing_tensors_are_refused() {
    for missing in NAMES {
        let error = load_changed(BatchNormConfig::new(2), |tensors| {
            tensors.remove(missing);
        })
        .unwrap_err();
        let Error::MissingTensor { name, available } = error else {
            panic!("{error}");
        };
        assert_eq!(name, missing);
        assert!(available.contains("num_batches_tracked"), "{available}");
    }
}

#[test]
fn long_lists_of_names_are_cut_short() {
    let mut tensors = Vec::new();
    let layer: BatchNorm<_> = trained(BatchNormConfig::new(2));
    for block in 0..10 {
        tensors.extend(
            layer
                .to_tensors(&format!("block{block}"), DType::F32)
                .unwrap(),
        );
    }
    let bytes = checkpoint::to_bytes(tensors).unwrap();
    let mut layer: BatchNorm<_> = trained(BatchNormConfig::new(2));
    let message = layer.load_bytes(&bytes, "head").unwrap_err().to_string();
    assert!(
        message.contains("\"head.weight\"") && message.ends_with("and 42 more"),
        "{message}"
    );
    let empty = checkpoint::to_bytes(Vec::new()).unwrap();
    let message = layer.load_bytes(&empty, "").unwrap_err().to_string();
    assert!(message.ends_with("it has no tensors"), "{message}");
}

#[test]
fn wrong_dtypes_are_refused() {
    for wrong in NAMES {
        let error = load_changed(BatchNormConfig::new(2), |tensors| {
            tensors.insert(wrong, (Dtype::I64, vec![2], vec![1; 16]));
        })
        .unwrap_err();
        let found = matches!(&error, Error::TensorDType { name, found, .. } if name == wrong && found == "I64");
        assert!(found, "{error}");
    }
    let error = load_changed(BatchNormConfig::new(2), |tensors| {
        tensors.insert("num_batches_tracked", (Dtype::BOOL, vec![], vec![0]));
    })
    .unwrap_err();
    assert!(matches!(error, Error::TensorDType { .. }), "{error}");
}

#[test]
fn wrong_shapes_are_refused() {
    for wrong in NAMES {
        for shape in [vec![1], vec![3], vec![], vec![1, 2], vec![2, 1]] {
            let error = load_changed(BatchNormConfig::new(2), |tensors| {
                let bytes = vec![0; 4 * shape.iter().product::<usize>()];
                tensors.insert(wrong, (Dtype::F32, shape.clone(), bytes));
            })
            .unwrap_err();
            let expected = Error::TensorShape {
                name: wrong.to_owned(),
                found: shape,
                needed: vec![2],
            };
            assert_eq!(error, expected);
        }
    }
    for shape in [vec![2], vec![0], vec![1, 1]] {
        let error = load_changed(BatchNormConfig::new(2), |tensors| {
            let bytes = vec![0; 8 * shape.iter().product::<usize>()];
            tensors.insert("num_batches_tracked", (Dtype::I64, shape, bytes));
        })
        .unwrap_err();
        assert!(matches!(error, Error::TensorShape { .. }), "{error}");
    }
}

#[test]
fn variances_that_are_none_are_refused() {
    for wrong in [-1.0, -1e-6, f32::NEG_INFINITY, f32::NAN] {
        let error = load_changed(BatchNormConfig::new(2), |tensors| {
            let variances = (Dtype::F32, vec![2], floats(&[70.0, wrong]));
            tensors.insert("running_var", variances);
        })
        .unwrap_err();
        let message = error.to_string();
        let said = format!("{wrong:?} in channel 1");
        assert!(message.contains(&said), "{message}");
    }
}

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
fn truncated_and_damaged_files_are_refused() {
    let bytes = serialize(&good_tensors());
    let mut layer: BatchNorm<_> = trained(BatchNormConfig::new(2));
    let before = state(&layer);
    for length in 0..bytes.len() {
        let error = layer.load_bytes(&bytes[..length], "").unwrap_err();
        assert!(
            matches!(error, Error::Checkpoint { .. }),
            "{length}: {error}"
        );
    }
    let error = layer.load_bytes(b"PK\x03\x04 a zip file, such as torch.save writes", "");
    assert!(matches!(error, Err(Error::Checkpoint { .. })), "{error:?}");
    assert_eq!(state(&layer), before);
    layer.load_bytes(&bytes, "").unwrap();
    assert_ne!(state(&layer), before);
}

#[test]
fn tensors_the_layer_lacks_are_refused_only_if_they_would_matter() {
    let config = BatchNormConfig::new(2);
    let refused = |config, change: fn(&mut Tensors)| {
        let error = load_changed(config, change).unwrap_err();
        assert!(matches!(error, Error::Checkpoint { .. }), "{error}");
        error.to_string()
    };
    let message = refused(config.gamma(false), |_| ());
    assert!(
        message.contains("\"weight\"") && message.contains("no gamma"),
        "{message}"
    );
    let message = refused(config.beta(false), |_| ());
    assert!(
        message.contains("\"bias\"") && message.contains("no beta"),
        "{message}"
    );
    let message = refused(config.averaging(Averaging::Off), |_| ());
    assert!(message.contains("\"running_mean\""), "{message}");
    let message = refused(config.averaging(Averaging::Off), |tensors| {
        tensors.remove("running_mean");
    });
    assert!(message.contains("\"running_var\""), "{message}");

    let one_array = |config, name: &'static str, values: [f32; 2]| {
        load_changed(config, |tensors| {
            tensors.insert(name, (Dtype::F32, vec![2], floats(&values)));
        })
    };
    assert!(one_array(config.gamma(false), "weight", [1.0, 1.0]).is_ok());
    assert!(one_array(config.gamma(false), "weight", [1.0, 1.0 + f32::EPSILON]).is_err());
    assert!(one_array(config.beta(false), "bias", [0.0, -0.0]).is_ok());
    assert!(one_array(config.beta(false), "bias", [0.0, f32::NAN]).is_err());

    let count_only = load_changed(config.averaging(Averaging::Off), |tensors| {
        tensors.retain(|name, _| !name.starts_with("running"));
    });
    assert_eq!(
        count_only,
        Ok((Some(vec![10.0, 20.0]), Some(vec![30.0, 40.0]), None))
    );
}

#[test]
fn a_message_says_a_long_name_or_shape_in_200_characters() {
    let mut layer: BatchNorm<_> = trained(BatchNormConfig::new(2));
    let long = "n".repeat(100_000);
    let array = || TensorView::new(Dtype::F32, vec![2], &[0; 8]).unwrap();
    let check = |error: Error, at_most: usize| {
        let message = error.to_string();
        assert!(message.chars().count() < at_most, "{message}");
        assert!(message.contains('…'), "{message}");
    };
    let file =
        |tensors: Vec<(String, TensorView<'_>)>| safetensors::serialize(tensors, None).unwrap();

    let named = file(vec![(long.clone(), array())]);
    check(layer.load_bytes(&named, "bn").unwrap_err(), 300);
    check(layer.load_bytes(&named, &long).unwrap_err(), 500);

    let ones = vec![1; 10_000];
    let data = vec![0; 40_000];
    let shaped = TensorView::new(Dtype::F32, ones, &data[..4]).unwrap();
    let other = TensorView::new(Dtype::F32, vec![10_000], &data).unwrap();
    let shaped = file(vec![
        ("weight".to_owned(), shaped),
        ("other".to_owned(), other),
    ]);
    check(layer.load_bytes(&shaped, "").unwrap_err(), 300);

    let prefixed = file(vec![(
        format!("{long}.weight"),
        TensorView::new(Dtype::I8, vec![2], &[1; 2]).unwrap(),
    )]);
    check(layer.load_bytes(&prefixed, &long).unwrap_err(), 300);
    // A dtype that there is not: the parser says it.
    let json = format!(r#"{{"weight":{{"dtype":"{long}","shape":[2],"data_offsets":[0,8]}}}}"#);
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json.as_bytes());
    bytes.extend([0; 8]);
    check(layer.load_bytes(&bytes, "").unwrap_err(), 300);
}

#[test]
fn a_header_that_would_take_many_times_the_file_is_refused() {
    let mut layer: BatchNorm<_> = trained(BatchNormConfig::new(2));
    let ones = "1,".repeat(1_000_000);
    for json in [
        format!(r#"{{"weight":{{"dtype":"F32","shape":[{ones}1],"data_offsets":[0,4]}}}}"#),
        format!(r#"{{"weight":[{}0]}}"#, "[],".repeat(1_000_000)),
    ] {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.extend([0; 4]);
        let error = layer.load_bytes(&bytes, "").unwrap_err();
        assert!(error.to_string().contains("values in a file of"), "{error}");
    }
}
