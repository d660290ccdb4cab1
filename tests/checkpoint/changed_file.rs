//! A good file, changed.

use std::collections::BTreeMap;

use batchnorm::safetensors::tensor::TensorView;
use batchnorm::safetensors::{self, Dtype};
use batchnorm::{BatchNorm, BatchNormConfig, Result};

use crate::{State, state, trained};

/// Tensors of a file that is made wrong on purpose.
pub(crate) type Tensors = BTreeMap<&'static str, (Dtype, Vec<usize>, Vec<u8>)>;

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

pub(crate) fn good_tensors() -> Tensors {
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

pub(crate) fn serialize(tensors: &Tensors) -> Vec<u8> {
    let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

/// Loads what `change` made of a good file; where that is refused, the layer must be as it was.
pub(crate) fn load_changed(
    config: BatchNormConfig,
    change: impl FnOnce(&mut Tensors),
) -> Result<State<f32>> {
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
