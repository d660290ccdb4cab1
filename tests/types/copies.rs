//! Copies, which share nothing.

use batchnorm::{Device, Tensor};

use crate::{state, trained};

#[test]
fn a_clone_is_a_layer_of_its_own() {
    let (mut layer, x) = trained();
    let (copy, before) = (layer.clone(), state(&layer));
    assert_eq!(state(&copy), before);
    layer.gamma_mut().unwrap().set(&[5.0, 6.0]).unwrap();
    layer.forward_training(&x).unwrap();
    assert_ne!(state(&layer), before);
    assert_eq!(state(&copy), before);
    assert_eq!(copy.running().unwrap().num_batches_tracked(), 1);
    assert_eq!(layer.running().unwrap().num_batches_tracked(), 2);
}

#[test]
fn clones_of_tensors_and_statistics_share_no_memory() {
    let (layer, mut x) = trained();
    let statistics = layer.batch_statistics(&x).unwrap();
    let (copy, of_batch) = (x.clone(), statistics.clone());
    x.slice_mut().fill(0.0);
    assert_eq!(copy.to_vec().unwrap(), [1.0, 7.0, 2.0, 5.0, 6.0, 3.0]);
    assert_eq!(of_batch.mean().to_vec().unwrap(), [3.0, 5.0]);
    assert_ne!(
        of_batch.mean().slice().as_ptr(),
        statistics.mean().slice().as_ptr()
    );
    let device = Device::cpu();
    let on_device = Tensor::new(&device, copy.shape(), copy.slice()).unwrap();
    assert_eq!(on_device.clone().into_vec().unwrap(), copy.slice());
}
