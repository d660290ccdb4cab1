//! Where a mask has no meaning it is refused, and nothing is written.

use batchnorm::Activation;
use batchnorm::backend::ActivationBackward;
use batchnorm::backend::{Backend, GradientSums, GradientsOfGradients, InOut, Normalization};
use batchnorm::{BatchNormConfig, Cpu, Error, Kept, PooledStatistics, Result, Shape};

use crate::{layer, tensor, wave};

fn is_value<R>(found: Result<R>) {
    match found.err() {
        Some(Error::Value { found, .. }) => assert!(found.contains("kept"), "{found}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_belongs_to_other_shapes() {
    let cpu = Cpu::with_threads(1).unwrap();
    let layer = layer::<f32>(&cpu, BatchNormConfig::new(3));
    let shape = Shape::channels_first(&[4, 3, 5]).unwrap();
    let x = tensor::<f32>(&cpu, shape, &wave(60, 1.7, 0.2));
    for other in [[4, 3, 6], [5, 3, 5], [4, 3, 1]] {
        let other = Shape::channels_first(&other).unwrap();
        let kept = Kept::lengths(&other, &vec![1; other.batch()]).unwrap();
        let error = layer.forward_training_deferred(kept.of(&x)).unwrap_err();
        assert!(matches!(error, Error::ShapeMismatch { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(&format!("{} samples", other.batch())),
            "{message}"
        );
        layer.forward_inference(&kept.of(&x)).unwrap_err();
    }
    // But any channels and layout.
    let other = Shape::channels_last(&[4, 5, 70]).unwrap();
    let kept = Kept::lengths(&other, &[1, 2, 3, 4]).unwrap();
    layer.forward_training_deferred(kept.of(&x)).unwrap();
}

#[test]
fn every_array_but_the_input() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut layer = layer::<f32>(&cpu, BatchNormConfig::new(3));
    let shape = Shape::channels_first(&[4, 3, 5]).unwrap();
    let x = tensor::<f32>(&cpu, shape, &wave(60, 1.7, 0.2));
    let kept = Kept::lengths(&shape, &[1, 5, 0, 2]).unwrap();
    is_value(layer.forward_training_add(&x, &kept.of(&x)));
    let mut y = kept.of(x.clone());
    is_value(layer.forward_inference_into(&x, None, &mut y));
    assert_eq!(y.into_input().to_vec().unwrap(), x.to_vec().unwrap());
    let (_, pass) = layer.forward_training(&x).unwrap();
    is_value(pass.backward(&kept.of(&x)));
    is_value(pass.without_input().backward(&kept.of(&x), &x));
}

#[test]
fn parts_of_batches_and_second_derivatives() {
    let cpu = Cpu::with_threads(1).unwrap();
    let layer = layer::<f32>(&cpu, BatchNormConfig::new(3));
    let shape = Shape::channels_first(&[4, 3, 5]).unwrap();
    let x = tensor::<f32>(&cpu, shape, &wave(60, 1.7, 0.2));
    let kept = Kept::lengths(&shape, &[1, 5, 0, 2]).unwrap();
    is_value(layer.part_statistics(&kept.of(&x)));
    let mut whole = PooledStatistics::new(3);
    whole.merge(&[layer.part_statistics(&x).unwrap()]).unwrap();
    is_value(layer.forward_part(kept.of(&x), whole.to_batch(&cpu, 1e-5).unwrap()));
    let (_, pass) = layer.forward_training_deferred(kept.of(&x)).unwrap();
    is_value(pass.double_backward(&x, GradientsOfGradients::default()));
}

#[test]
fn sums_of_another_number_of_places() {
    let cpu = Cpu::with_threads(1).unwrap();
    let shape = Shape::channels_first(&[4, 1, 5]).unwrap();
    let kept = Kept::lengths(&shape, &[1, 5, 0, 2]).unwrap();
    let x = [1.0f32; 20];
    let one = &[1.0f32][..];
    let with = Normalization {
        mean: one,
        mean_low: one,
        inv_std: one,
        gamma: one,
        beta: one,
    };
    for (count, is_right) in [(20, false), (8, true)] {
        let mut dx = [-77.0f32; 20];
        let sums = GradientSums {
            gamma: one,
            beta: one,
            count,
        };
        let found = cpu.backward_input::<f32>(
            (&shape, &kept),
            InOut::Separate(&x[..], &mut dx[..]),
            &x,
            with,
            ActivationBackward::of(Activation::None),
            Some(sums),
            None,
        );
        assert_eq!(found.is_ok(), is_right, "{found:?}");
        assert_eq!(dx == [-77.0; 20], !is_right);
    }
}
