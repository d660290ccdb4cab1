//! Tensors that are refused, and that the layer is then as it was.

use batchnorm::safetensors::Dtype;
use batchnorm::{Averaging, BatchNorm, BatchNormConfig, DType, Error, checkpoint};

use crate::changed_file::{Tensors, floats, load_changed};
use crate::trained;

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
fn values_beyond_the_layer_s_type_are_refused() {
    for beyond in NAMES {
        let change = |value: f64| {
            load_changed(BatchNormConfig::new(2), |tensors| {
                let values = [1.0, value].into_iter().flat_map(f64::to_le_bytes);
                tensors.insert(beyond, (Dtype::F64, vec![2], values.collect()));
            })
        };
        let message = change(1e39).unwrap_err().to_string();
        let expected = format!(
            "tensor \"{beyond}\" is 1e39 in channel 1, beyond the range of the layer's f32"
        );
        assert!(message.contains(&expected), "{message}");
        // What the file itself has as an infinity is loaded.
        assert!(change(f64::INFINITY).is_ok());
    }
}
