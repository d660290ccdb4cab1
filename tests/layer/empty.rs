//! Batches without values.

use batchnorm::{Activation, Averaging, BatchNorm, BatchNormConfig, Cpu, Shape, Tensor};
use contract_suite::layers::column;

use crate::{cpu, running};

#[test]
fn an_empty_batch_counts_and_changes_nothing_else() {
    let mut layer: BatchNorm<Cpu> =
        BatchNorm::new(&cpu(), BatchNormConfig::new(1).activation(Activation::Relu)).unwrap();
    layer.forward_training(&column(&[1.0, 3.0])).unwrap();
    let (mean, variance, _) = running(&layer);
    let empty = column(&[]);
    let (y, pass) = layer.forward_training(&empty).unwrap();
    assert!(y.to_vec().unwrap().is_empty());
    assert_eq!(running(&layer), (mean, variance, 2));
    let gradients = pass.backward(&empty).unwrap();
    assert_eq!(gradients.gamma.unwrap().to_vec().unwrap(), [0.0]);
    assert_eq!(gradients.beta.unwrap().to_vec().unwrap(), [0.0]);
    assert!(
        layer
            .forward_inference(&empty)
            .unwrap()
            .to_vec()
            .unwrap()
            .is_empty()
    );
    let (_, frozen) = layer.forward_frozen(&empty).unwrap();
    assert_eq!(
        frozen
            .backward(&empty)
            .unwrap()
            .gamma
            .unwrap()
            .to_vec()
            .unwrap(),
        [0.0]
    );
    let mut added = column(&[]);
    layer
        .forward_training_into(&empty, Some(&column(&[])), &mut added)
        .unwrap();
}

#[test]
fn a_cumulative_average_is_of_the_batches_that_were_not_empty() {
    let config = BatchNormConfig::new(1).averaging(Averaging::Cumulative);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
    layer.forward_training(&column(&[])).unwrap();
    let empty = layer.batch_statistics(&column(&[])).unwrap();
    layer.follow(&empty).unwrap();
    assert_eq!(running(&layer), (0.0, 1.0, 0));
    layer.forward_training(&column(&[9.0, 11.0])).unwrap();
    assert_eq!(running(&layer), (10.0, 2.0, 1));
    layer.forward_training(&column(&[])).unwrap();
    layer.forward_training(&column(&[19.0, 21.0])).unwrap();
    assert_eq!(running(&layer), (15.0, 2.0, 2));
}

#[test]
fn every_dimension_but_the_channels_may_be_zero() {
    let config = BatchNormConfig::new(3).activation(Activation::Relu);
    for (dims, ghost_batch) in [
        (&[4, 3, 0][..], usize::MAX),
        (&[4, 3, 0], 1),
        (&[4, 3, 2, 0, 2], 3),
        (&[0, 3, 0, 5, 1, 7], 2),
    ] {
        let last: Vec<usize> = [&dims[..1], &dims[2..], &dims[1..2]].concat();
        for shape in [Shape::channels_first(dims), Shape::channels_last(&last)] {
            let x: Tensor<f32, Cpu> = Tensor::new(&cpu(), shape.unwrap(), &[]).unwrap();
            let mut layer: BatchNorm<Cpu> =
                BatchNorm::new(&cpu(), config.ghost_batch(ghost_batch)).unwrap();
            let (y, pass) = layer.forward_training_add(&x, &x).unwrap();
            assert_eq!(y.shape(), x.shape());
            let gradients = pass.backward(&x).unwrap();
            assert_eq!(gradients.gamma.unwrap().to_vec().unwrap(), [0.0; 3]);
            assert_eq!(gradients.input.shape(), x.shape());
            assert!(layer.forward_inference(&x).unwrap().shape().is_empty());
            let (_, frozen) = layer.forward_frozen(&x).unwrap();
            frozen.backward(&x).unwrap();
            layer.follow(&layer.batch_statistics(&x).unwrap()).unwrap();
            let running = layer.running().unwrap();
            assert_eq!(running.mean().to_vec().unwrap(), [0.0; 3]);
            assert_eq!(running.variance().to_vec().unwrap(), [1.0; 3]);
        }
    }
}
