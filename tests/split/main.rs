//! What a layer of several sets refuses, that nothing has changed then, and its files.

use batchnorm::{
    BatchNormConfig, Cpu, DType, Data, Error, SampleGroup, Shape, SplitBatchNorm, Tensor,
    checkpoint,
};
use contract_suite::layers::running;

fn layer(config: BatchNormConfig, sets: usize) -> SplitBatchNorm<Cpu> {
    SplitBatchNorm::new(&Cpu::new(), config, sets).unwrap()
}

fn batch(samples: usize, channels: usize) -> Tensor<f32, Cpu> {
    let shape = Shape::channels_first(&[samples, channels]).unwrap();
    let values: Vec<f32> = (0..shape.len()).map(|i| (i * i % 13) as f32).collect();
    Tensor::new(&Cpu::new(), shape, &values).unwrap()
}

fn groups(of: &[(usize, usize)]) -> Vec<SampleGroup> {
    of.iter()
        .map(|&(set, samples)| SampleGroup { set, samples })
        .collect()
}

/// After an error, of a later group as well, no set has followed anything and nothing of y has been written.
#[test]
fn a_refused_batch_changes_no_set() {
    let mut layer = layer(BatchNormConfig::new(2), 3);
    layer
        .forward_training(&batch(6, 2), &groups(&[(0, 2), (2, 4)]))
        .unwrap();
    let state =
        |layer: &SplitBatchNorm<Cpu>| -> Vec<_> { layer.sets().iter().map(running).collect() };
    let before = state(&layer);
    let said = |layer: &mut SplitBatchNorm<Cpu>, x: &Tensor<f32, Cpu>, of: &[(usize, usize)]| {
        let y_values = vec![-77.0f32; x.shape().len()];
        let mut y = Tensor::new(&Cpu::new(), x.shape(), &y_values).unwrap();
        let error = layer.forward_training_into(x, None, &mut y, &groups(of));
        assert_eq!(y.to_vec().unwrap(), y_values);
        error.unwrap_err()
    };
    let x = batch(6, 2);
    assert_eq!(
        said(&mut layer, &x, &[(0, 2), (1, 3)]).to_string(),
        "the groups have 5 samples together, but the batch has 6"
    );
    assert_eq!(
        said(&mut layer, &x, &[(0, 2), (3, 4)]).to_string(),
        "there is no set 3: the layer has 3, counted from 0"
    );
    assert!(matches!(
        said(&mut layer, &x, &[(0, 6), (1, usize::MAX)]),
        Error::GroupSamples { .. }
    ));
    assert!(matches!(
        said(&mut layer, &x, &[(0, 6), (1, 0)]),
        Error::Value { .. }
    ));
    assert!(matches!(
        said(&mut layer, &x, &[(0, 5), (1, 1)]),
        Error::TooFewValues { found: 1, .. }
    ));
    assert!(matches!(
        said(&mut layer, &batch(6, 3), &[(0, 2), (1, 4)]),
        Error::Channels {
            found: 3,
            needed: 2
        }
    ));
    let short = batch(5, 2);
    let mut y = batch(6, 2);
    let of = groups(&[(0, 3), (1, 3)]);
    assert!(matches!(
        layer.forward_training_into(
            &x,
            Some(&short as &dyn Data<Cpu, Element = f32>),
            &mut y,
            &of
        ),
        Err(Error::ShapeMismatch { .. })
    ));
    assert!(matches!(
        layer.forward_inference(&x, &groups(&[(0, 7)])),
        Err(Error::GroupSamples {
            found: 7,
            needed: 6
        })
    ));
    assert!(matches!(
        layer.forward_frozen(&x, &groups(&[(4, 6)])),
        Err(Error::NoSuchSet { asked: 4, found: 3 })
    ));
    assert_eq!(state(&layer), before);
    assert_eq!(before[1].2, 0);
}

#[test]
fn one_sample_of_a_set_can_be_inferred() {
    let layer = layer(BatchNormConfig::new(2), 2);
    let of = groups(&[(1, 1), (0, 5)]);
    layer.forward_inference(&batch(6, 2), &of).unwrap();
    let (_, pass) = layer.forward_frozen(batch(6, 2), &of).unwrap();
    assert_eq!(
        format!("{pass:?}"),
        "SplitPass([6, 2] channels first, 2 groups)"
    );
}

#[test]
fn deferred_statistics_are_followed_by_whom_they_are_of() {
    let (mut at_once, mut deferred) = (
        layer(BatchNormConfig::new(2), 2),
        layer(BatchNormConfig::new(2), 2),
    );
    let of = groups(&[(1, 2), (0, 2), (1, 3)]);
    let x = batch(7, 2);
    at_once.forward_training(&x, &of).unwrap();
    let (_, pass) = deferred.forward_training_deferred(&x, &of).unwrap();
    assert_eq!(running(&deferred.sets()[1]).2, 0);
    for (set, statistics) in pass.statistics() {
        deferred.set_mut(set).unwrap().follow(statistics).unwrap();
    }
    for set in 0..2 {
        assert_eq!(
            running(&at_once.sets()[set]),
            running(&deferred.sets()[set])
        );
    }
}

#[test]
fn batches_without_samples_have_no_groups() {
    let mut layer = layer(BatchNormConfig::new(2), 2);
    let (y, pass) = layer.forward_training(batch(0, 2), &[]).unwrap();
    let gradients = pass.backward(&y).unwrap();
    assert_eq!(gradients.input.shape().batch(), 0);
    for set in gradients.sets {
        assert_eq!(set.gamma.unwrap().to_vec().unwrap(), [0.0; 2]);
    }
    assert_eq!(running(&layer.sets()[0]).2, 0);
}

#[test]
fn gradients_of_other_memory_are_refused() {
    let mut layer = layer(BatchNormConfig::new(2), 1);
    let (y, pass) = layer
        .forward_training(batch(4, 2), &groups(&[(0, 4)]))
        .unwrap();
    assert!(matches!(
        pass.backward(&batch(3, 2)),
        Err(Error::ShapeMismatch { what: "dy", .. })
    ));
    let (mut dx, mut dresidual) = (batch(4, 2), batch(4, 2));
    let before = dx.to_vec().unwrap();
    assert!(matches!(
        pass.backward_into(&y, &mut dx, Some(&mut dresidual)),
        Err(Error::Residual { .. })
    ));
    assert_eq!(dx.to_vec().unwrap(), before);
}

#[test]
fn a_layer_has_at_least_one_set() {
    let error = SplitBatchNorm::new(&Cpu::new(), BatchNormConfig::new(2), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the number of sets must be at least 1, got 0"
    );
}

#[test]
fn files_have_a_set_under_each_number() {
    let cpu = Cpu::new();
    let mut saved =
        SplitBatchNorm::<_, f32>::with_shared_parameters(&cpu, BatchNormConfig::new(2), 2).unwrap();
    saved
        .set_mut(0)
        .unwrap()
        .gamma_mut()
        .unwrap()
        .set(&[2.0, 3.0])
        .unwrap();
    saved
        .forward_training(batch(6, 2), &groups(&[(0, 2), (1, 4)]))
        .unwrap();
    let tensors = saved.to_tensors("bns", DType::F32).unwrap();
    let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "bns.0.weight",
            "bns.0.bias",
            "bns.0.running_mean",
            "bns.0.running_var",
            "bns.0.num_batches_tracked",
            "bns.1.running_mean",
            "bns.1.running_var",
            "bns.1.num_batches_tracked",
        ]
    );
    let bytes = checkpoint::to_bytes(tensors).unwrap();
    let file = checkpoint::parse(&bytes).unwrap();
    let mut loaded =
        SplitBatchNorm::<_, f32>::with_shared_parameters(&cpu, BatchNormConfig::new(2), 2).unwrap();
    loaded.load_tensors(&file, "bns").unwrap();
    for set in 0..2 {
        assert_eq!(running(&loaded.sets()[set]), running(&saved.sets()[set]));
    }
    assert_eq!(
        loaded.sets()[0].gamma().unwrap().to_vec().unwrap(),
        [2.0, 3.0]
    );

    // The second set of one that shares nothing, and the third of one with more, are not there: the first is not loaded either.
    let mut own = layer(BatchNormConfig::new(2), 2);
    let error = own.load_tensors(&file, "bns").unwrap_err().to_string();
    assert!(error.contains("bns.1.weight"), "{error}");
    assert_eq!(running(&own.sets()[0]).2, 0);
    let mut fewer = layer(BatchNormConfig::new(2), 1);
    let error = fewer.load_tensors(&file, "bns").unwrap_err().to_string();
    assert!(
        error.contains("bns.1.running_mean") && error.contains("1 sets"),
        "{error}"
    );
    assert_eq!(running(&fewer.sets()[0]).2, 0);
}
