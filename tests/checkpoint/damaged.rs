//! Files that are none, and messages that stay short whatever a file says.

use batchnorm::safetensors::tensor::TensorView;
use batchnorm::safetensors::{self, Dtype};
use batchnorm::{BatchNorm, BatchNormConfig, DType, Error, checkpoint};

use crate::changed_file::{good_tensors, serialize};
use crate::{state, trained};

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
