//! What is in the files, and files of others.

use std::collections::BTreeMap;

use batchnorm::safetensors::{Dtype, SafeTensors};
use batchnorm::{Averaging, BatchNorm, BatchNormConfig, DType};

use crate::{new_layer, state, trained};

/// Name, dtype and shape of every tensor in a file.
fn listing(bytes: &[u8]) -> BTreeMap<String, (Dtype, Vec<usize>)> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let entries = file.tensors().into_iter();
    entries
        .map(|(name, tensor)| (name, (tensor.dtype(), tensor.shape().to_vec())))
        .collect()
}

fn names(bytes: &[u8]) -> Vec<String> {
    listing(bytes).into_keys().collect()
}

#[test]
fn files_have_the_names_shapes_and_dtypes_of_pytorch() {
    let layer: BatchNorm<_> = trained(BatchNormConfig::new(3));
    let expected = [
        ("layer1.bn1.bias", Dtype::F16, vec![3]),
        ("layer1.bn1.num_batches_tracked", Dtype::I64, vec![]),
        ("layer1.bn1.running_mean", Dtype::F32, vec![3]),
        ("layer1.bn1.running_var", Dtype::F32, vec![3]),
        ("layer1.bn1.weight", Dtype::F16, vec![3]),
    ];
    let expected = expected.map(|(name, dtype, shape)| (name.to_owned(), (dtype, shape)));
    let bytes = layer.to_bytes("layer1.bn1", DType::F16).unwrap();
    assert_eq!(listing(&bytes), BTreeMap::from(expected));

    let double: BatchNorm<_, f64> = trained(BatchNormConfig::new(3));
    let listed = listing(&double.to_bytes("", DType::BF16).unwrap());
    assert_eq!(listed["weight"].0, Dtype::BF16);
    assert_eq!(listed["running_var"].0, Dtype::F64);
}

#[test]
fn only_what_a_layer_has_is_written() {
    let config = BatchNormConfig::new(3);
    let written = |config| names(&trained::<f32>(config).to_bytes("", DType::F32).unwrap());
    assert_eq!(
        written(config.without_affine()),
        ["num_batches_tracked", "running_mean", "running_var"]
    );
    assert_eq!(
        written(config.averaging(Averaging::Off).gamma(false)),
        ["bias"]
    );
    let nothing = config.averaging(Averaging::Off).without_affine();
    assert!(written(nothing).is_empty());
}

/// A file of this header and these bytes after it.
fn by_hand(header: &str, data: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data.concat());
    bytes
}

#[test]
fn a_file_laid_out_by_hand_is_read_at_any_alignment() {
    // 7 batches, variances 4 and 0.5 (f64), means 4 and -1 (f32), weights 1.5 and -2 (f16), biases 0.5 and 1 (bf16).
    let header = r#"{"__metadata__":{"format":"pt"},
        "bn.num_batches_tracked":{"dtype":"I64","shape":[],"data_offsets":[0,8]},
        "bn.running_var":{"dtype":"F64","shape":[2],"data_offsets":[8,24]},
        "bn.running_mean":{"dtype":"F32","shape":[2],"data_offsets":[24,32]},
        "bn.weight":{"dtype":"F16","shape":[2],"data_offsets":[32,36]},
        "bn.bias":{"dtype":"BF16","shape":[2],"data_offsets":[36,40]},
        "fc.weight":{"dtype":"U8","shape":[1],"data_offsets":[40,41]}}"#;
    let data: [&[u8]; 7] = [
        &[7, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0x10, 0x40, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f],
        &[0, 0, 0x80, 0x40],
        &[0, 0, 0x80, 0xbf],
        &[0x00, 0x3e, 0x00, 0xc0],
        &[0x00, 0x3f, 0x80, 0x3f],
        &[9],
    ];
    let bytes = by_hand(header, &data);
    let expected = (
        Some(vec![1.5f32, -2.0]),
        Some(vec![0.5, 1.0]),
        Some((vec![4.0, -1.0], vec![4.0, 0.5], 7)),
    );
    for shift in 0..8 {
        let shifted = [&vec![0; shift][..], &bytes].concat();
        let mut layer: BatchNorm<_> = new_layer(BatchNormConfig::new(2));
        layer.load_bytes(&shifted[shift..], "bn").unwrap();
        assert_eq!(state(&layer), expected);
    }
}
