//! What the layer adds to the steps: running statistics, averaging, when they follow, and what it refuses.

use batchnorm::{
    Activation, Averaging, BatchNorm, BatchNormConfig, Cpu, Device, Error, PooledStatistics,
    RunningVariance, Shape, Tensor,
};
use ndarray::{Array2, Array4, ArrayView2, array};

fn cpu() -> Cpu {
    Cpu::with_threads(1).unwrap()
}

fn column(values: &[f32]) -> Tensor<f32, Cpu> {
    Tensor::new(
        &cpu(),
        Shape::channels_first(&[values.len(), 1]).unwrap(),
        values,
    )
    .unwrap()
}

/// Running mean, running variance and the number of batches of a layer of one channel.
fn running(layer: &BatchNorm<Cpu>) -> (f32, f32, u64) {
    let running = layer.running().unwrap();
    (
        running.mean().to_vec().unwrap()[0],
        running.variance().to_vec().unwrap()[0],
        running.num_batches_tracked(),
    )
}

/// γ and β.
type Parameters = [Option<Vec<f32>>; 2];

/// Everything that a layer holds.
fn state(layer: &BatchNorm<Cpu>) -> (Parameters, (f32, f32, u64)) {
    let array = |array: Option<&batchnorm::ChannelArray<f32, Cpu>>| {
        array.map(|array| array.to_vec().unwrap())
    };
    ([array(layer.gamma()), array(layer.beta())], running(layer))
}

#[test]
fn exponential_average_weighs_the_new_batch() {
    let mut layer: BatchNorm<Cpu> =
        BatchNorm::new(&cpu(), BatchNormConfig::new(1).momentum(0.25)).unwrap();
    layer.forward_training(&column(&[1.0, 3.0])).unwrap(); // mean 2, unbiased variance 2
    assert_eq!(running(&layer), (0.5, 1.25, 1));
    layer.forward_training(&column(&[4.0, 4.0])).unwrap();
    assert_eq!(running(&layer), (1.375, 0.9375, 2));
}

#[test]
fn momentum_may_be_zero_or_one() {
    for (momentum, expected) in [(0.0, (0.0, 1.0, 1)), (1.0, (2.0, 2.0, 1))] {
        let mut layer: BatchNorm<Cpu> =
            BatchNorm::new(&cpu(), BatchNormConfig::new(1).momentum(momentum)).unwrap();
        layer.forward_training(&column(&[1.0, 3.0])).unwrap();
        assert_eq!(running(&layer), expected);
    }
}

#[test]
fn cumulative_average_is_the_mean_of_all_batches() {
    let config = BatchNormConfig::new(1).averaging(Averaging::Cumulative);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
    for (batch, expected) in [
        ([1.0, 3.0], (2.0, 2.0, 1)),
        ([5.0, 7.0], (4.0, 2.0, 2)),
        ([3.0, 17.0], (6.0, 34.0, 3)),
    ] {
        layer.forward_training(&column(&batch)).unwrap();
        let (mean, variance, batches) = running(&layer);
        assert!(
            (mean - expected.0).abs() < 1e-6 && (variance - expected.1).abs() < 1e-5,
            "{mean} {variance}"
        );
        assert_eq!(batches, expected.2);
    }
}

#[test]
fn population_variance_can_be_followed() {
    let config = BatchNormConfig::new(1)
        .momentum(1.0)
        .running_variance(RunningVariance::Population);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
    layer.forward_training(&column(&[1.0, 3.0])).unwrap();
    assert_eq!(running(&layer), (2.0, 1.0, 1));
}

#[test]
fn reset_forgets_everything() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    layer.forward_training(&column(&[1.0, 3.0])).unwrap();
    layer.running_mut().unwrap().reset().unwrap();
    assert_eq!(running(&layer), (0.0, 1.0, 0));
}

#[test]
fn without_running_statistics_every_pass_uses_the_batch() {
    let config = BatchNormConfig::new(1).averaging(Averaging::Off);
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
    let (x, dy) = (column(&[1.0, 3.0, 8.0]), column(&[0.5, -1.0, 2.0]));
    let (y, pass) = layer.forward_training(&x).unwrap();
    assert!(layer.running().is_none());
    assert_eq!(
        layer.forward_inference(&x).unwrap().to_vec().unwrap(),
        y.to_vec().unwrap()
    );
    let (frozen_y, frozen) = layer.forward_frozen(&x).unwrap();
    assert_eq!(frozen_y.to_vec().unwrap(), y.to_vec().unwrap());
    let (a, b) = (pass.backward(&dy).unwrap(), frozen.backward(&dy).unwrap());
    assert_eq!(a.input.to_vec().unwrap(), b.input.to_vec().unwrap());
    assert!(matches!(
        layer.forward_inference(&column(&[1.0])),
        Err(Error::TooFewValues { .. })
    ));
}

#[test]
fn recomputing_a_batch_counts_it_once() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    let x = column(&[1.0, 3.0]);
    let (first, _) = layer.forward_training(&x).unwrap();
    let after = running(&layer);
    let (again, pass) = layer.forward_training_deferred(&x).unwrap();
    assert_eq!(first.to_vec().unwrap(), again.to_vec().unwrap());
    pass.backward(&x).unwrap();
    assert_eq!(running(&layer), after);
}

#[test]
fn deferred_statistics_follow_when_they_are_committed() {
    let (mut now, mut later): (BatchNorm<Cpu>, BatchNorm<Cpu>) = [(); 2]
        .map(|()| BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap())
        .into();
    let x = column(&[1.0, 3.0, -4.0]);
    now.forward_training(&x).unwrap();
    let (_, pass) = later.forward_training_deferred(&x).unwrap();
    assert_eq!(running(&later), (0.0, 1.0, 0));
    later.follow(pass.statistics()).unwrap();
    assert_eq!(running(&later), running(&now));
}

#[test]
fn gathered_batches_follow_as_one() {
    let mut layer: BatchNorm<Cpu> =
        BatchNorm::new(&cpu(), BatchNormConfig::new(1).momentum(1.0)).unwrap();
    let mut pooled = PooledStatistics::new(1);
    for batch in [&[1.0, 2.0][..], &[3.0, 5.0, 9.0]] {
        let x = column(batch);
        let (_, pass) = layer.forward_training_deferred(&x).unwrap();
        pooled.add(pass.statistics()).unwrap();
    }
    layer
        .follow(&pooled.to_batch(&cpu(), 1e-5).unwrap())
        .unwrap();
    assert_eq!(running(&layer), (4.0, 10.0, 1)); // of 1, 2, 3, 5, 9
}

#[test]
fn precise_statistics_are_those_of_the_whole_data_set() {
    let data: Vec<f32> = (0..1000u16)
        .map(|i| f32::from(i % 37) * 0.37 - 3.0 + f32::from(i) * 0.01)
        .collect();
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    layer.forward_training(&column(&data[..10])).unwrap();
    let mut pooled = PooledStatistics::new(1);
    for batch in [&data[..7], &data[7..8], &data[8..600], &data[600..]] {
        pooled
            .add(&layer.batch_statistics(&column(batch)).unwrap())
            .unwrap();
    }
    layer
        .running_mut()
        .unwrap()
        .adopt(&pooled, RunningVariance::Unbiased)
        .unwrap();
    let mean = data.iter().map(|&x| f64::from(x)).sum::<f64>() / 1000.0;
    let variance = data
        .iter()
        .map(|&x| (f64::from(x) - mean).powi(2))
        .sum::<f64>()
        / 999.0;
    let (found_mean, found_variance, batches) = running(&layer);
    assert!(
        (f64::from(found_mean) - mean).abs() < 1e-6
            && (f64::from(found_variance) / variance - 1.0).abs() < 1e-6
    );
    assert_eq!(batches, 1);
    let nothing = PooledStatistics::new(1);
    let refused = layer
        .running_mut()
        .unwrap()
        .adopt(&nothing, RunningVariance::Unbiased);
    assert!(matches!(refused, Err(Error::TooFewValues { .. })));
}

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
fn parameters_are_on_or_off_independently() {
    let x = column(&[1.0, 3.0, 8.0]);
    for (gamma, beta) in [(true, true), (true, false), (false, true), (false, false)] {
        let config = BatchNormConfig::new(1).gamma(gamma).beta(beta);
        let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), config).unwrap();
        assert_eq!(
            (layer.gamma().is_some(), layer.beta().is_some()),
            (gamma, beta)
        );
        if let Some(gamma) = layer.gamma_mut() {
            gamma.set(&[2.0]).unwrap();
        }
        if let Some(beta) = layer.beta_mut() {
            beta.set(&[1.0]).unwrap();
        }
        let (y, pass) = layer.forward_training(&x).unwrap();
        let sum: f32 = y.to_vec().unwrap().iter().sum();
        assert!((sum - if beta { 3.0 } else { 0.0 }).abs() < 1e-5);
        let gradients = pass.backward(&x).unwrap();
        assert_eq!(
            (gradients.gamma.is_some(), gradients.beta.is_some()),
            (gamma, beta)
        );
    }
}

#[test]
fn a_pass_keeps_what_it_was_made_with() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    let (x, dy) = (column(&[1.0, 3.0, 8.0]), column(&[0.5, -1.0, 2.0]));
    let (_, pass) = layer.forward_training(&x).unwrap();
    let before = pass.backward(&dy).unwrap().input.to_vec().unwrap();
    layer.gamma_mut().unwrap().set(&[100.0]).unwrap();
    layer.forward_training(&dy).unwrap();
    assert_eq!(pass.backward(&dy).unwrap().input.to_vec().unwrap(), before);
}

#[test]
fn x_is_lent_given_or_shared() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    let dy = column(&[0.5, -1.0]);
    let lent = column(&[1.0, 3.0]);
    let a = layer
        .forward_training(&lent)
        .unwrap()
        .1
        .backward(&dy)
        .unwrap();
    let (_, pass) = layer.forward_training(column(&[1.0, 3.0])).unwrap();
    let b = pass.backward(&dy).unwrap();
    assert_eq!(pass.into_input().to_vec().unwrap(), [1.0, 3.0]);
    let shared = std::sync::Arc::new(column(&[1.0, 3.0]));
    let c = layer
        .forward_training(shared.clone())
        .unwrap()
        .1
        .backward(&dy)
        .unwrap();
    let [a, b, c] = [a, b, c].map(|gradients| gradients.input.to_vec().unwrap());
    assert!(a == b && b == c);
}

#[test]
fn arrays_are_used_in_place() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(3)).unwrap();
    // N, H, W, C in memory, seen as N, C, H, W: channels last by its strides.
    let image = Array4::from_shape_fn((2, 4, 5, 3), |(n, h, w, c)| {
        (n * 60 + h * 15 + w * 3 + c * 7) as f32 * 0.1
    });
    let x = image.view().permuted_axes([0, 3, 1, 2]);
    let mut y = Array4::<f32>::zeros((2, 4, 5, 3));
    let pass = layer
        .forward_training_into(x, None, &mut y.view_mut().permuted_axes([0, 3, 1, 2]))
        .unwrap();
    for c in 0..3 {
        let channel = y.slice(ndarray::s![.., .., .., c]);
        let (mean, count) = (channel.sum() / 40.0, channel.len());
        assert!(mean.abs() < 1e-5 && count == 40);
    }
    let mut gradient = Array4::<f32>::ones((2, 4, 5, 3));
    pass.backward_in_place(&mut gradient.view_mut().permuted_axes([0, 3, 1, 2]), None)
        .unwrap();
    assert!(gradient.iter().all(|dx| dx.abs() < 1e-6)); // a constant gradient is all mean
    let mut both = image.clone();
    let expected = layer.forward_inference(&x).unwrap().to_vec().unwrap();
    layer
        .forward_inference_in_place(&mut both.view_mut().permuted_axes([0, 3, 1, 2]), None)
        .unwrap();
    assert_eq!(both.as_slice().unwrap(), expected);
    // A channels-first output for a channels-last input is refused, not silently transposed.
    let mut other = Array4::<f32>::zeros((2, 3, 4, 5));
    let refused = layer.forward_inference_into(&x, None, &mut other);
    assert!(matches!(refused, Err(Error::ShapeMismatch { .. })));
    let strided = image.slice(ndarray::s![.., ..;2, .., ..]);
    assert!(matches!(
        layer.forward_inference(&strided.permuted_axes([0, 3, 1, 2])),
        Err(Error::Strides { .. })
    ));
}

#[test]
fn a_device_takes_arrays_too() {
    let mut layer =
        BatchNorm::with_compute(&Device::best_available(), BatchNormConfig::new(2)).unwrap();
    let x: Array2<f64> = array![[1.0, -2.0], [2.0, 0.0], [6.0, 5.0]];
    let (y, pass) = layer.forward_training(&x).unwrap();
    let y: Array2<f64> = Array2::from_shape_vec((3, 2), y.to_vec().unwrap()).unwrap();
    assert!(y.column(0).sum().abs() < 1e-12);
    let view: ArrayView2<f64> = x.view();
    assert_eq!(pass.backward(&view).unwrap().input.shape().dims(), [3, 2]);
}

#[test]
fn a_residual_is_added_before_the_activation() {
    let mut layer: BatchNorm<Cpu> =
        BatchNorm::new(&cpu(), BatchNormConfig::new(1).activation(Activation::Relu)).unwrap();
    let (x, skip) = (column(&[1.0, 3.0, 5.0]), column(&[10.0, -10.0, 0.0]));
    let (y, pass) = layer.forward_training_add(&x, &skip).unwrap();
    let y = y.to_vec().unwrap();
    assert!(y[0] > 8.0 && y[1] == 0.0 && y[2] > 1.0);
    let gradients = pass.backward(&column(&[1.0, 1.0, 1.0])).unwrap();
    assert_eq!(
        gradients.residual.unwrap().to_vec().unwrap(),
        [1.0, 0.0, 1.0]
    );
    let frozen = layer
        .forward_frozen_add(&x, &skip)
        .unwrap()
        .0
        .to_vec()
        .unwrap();
    assert_eq!(
        frozen,
        layer
            .forward_inference_add(&x, &skip)
            .unwrap()
            .to_vec()
            .unwrap()
    );
}

#[test]
fn a_refused_call_leaves_the_layer_as_it_was() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    layer.forward_training(&column(&[1.0, 3.0])).unwrap();
    let before = state(&layer);
    let other = Tensor::new(
        &cpu(),
        Shape::channels_first(&[2, 2]).unwrap(),
        &[1.0f32; 4],
    )
    .unwrap();
    let mut short = column(&[-77.0]);
    assert!(matches!(
        layer.forward_training(&other),
        Err(Error::Channels {
            found: 2,
            needed: 1
        })
    ));
    assert!(matches!(
        layer.forward_inference(&other),
        Err(Error::Channels { .. })
    ));
    assert!(matches!(
        layer.forward_frozen(&other),
        Err(Error::Channels { .. })
    ));
    assert!(matches!(
        layer.batch_statistics(&other),
        Err(Error::Channels { .. })
    ));
    assert!(matches!(
        layer.forward_training(&column(&[1.0])),
        Err(Error::TooFewValues { found: 1, .. })
    ));
    let x = column(&[1.0, 3.0]);
    let mismatched = layer.forward_training_into(&x, None, &mut short);
    assert!(matches!(
        mismatched,
        Err(Error::ShapeMismatch { what: "y", .. })
    ));
    assert_eq!(short.to_vec().unwrap(), [-77.0]);
    let residual = layer.forward_training_add(&x, &column(&[1.0]));
    assert!(matches!(
        residual,
        Err(Error::ShapeMismatch {
            what: "the residual",
            ..
        })
    ));
    assert!(matches!(
        layer.gamma_mut().unwrap().set(&[1.0, 2.0]),
        Err(Error::Length { .. })
    ));
    assert!(matches!(
        layer.running_mut().unwrap().set(&[1.0], &[1.0, 2.0], 7),
        Err(Error::Length { .. })
    ));
    let foreign: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(2)).unwrap();
    let statistics = foreign.batch_statistics(&other).unwrap();
    assert!(matches!(
        layer.follow(&statistics),
        Err(Error::Channels { .. })
    ));
    assert_eq!(state(&layer), before);
}

#[test]
fn a_mismatched_gradient_is_refused() {
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(1)).unwrap();
    let x = column(&[1.0, 3.0]);
    let (_, pass) = layer.forward_training(&x).unwrap();
    let mut dx = column(&[-77.0, -77.0]);
    assert!(matches!(
        pass.backward(&column(&[1.0; 3])),
        Err(Error::ShapeMismatch { what: "dy", .. })
    ));
    assert!(matches!(
        pass.backward_into(&column(&[1.0; 3]), &mut dx, None),
        Err(Error::ShapeMismatch { .. })
    ));
    let mut dresidual = column(&[0.0, 0.0]);
    let refused = pass.backward_into(&x, &mut dx, Some(&mut dresidual));
    assert!(matches!(refused, Err(Error::Residual { .. })));
    assert_eq!(dx.to_vec().unwrap(), [-77.0, -77.0]);
}

#[test]
fn settings_are_checked() {
    let new = |config| BatchNorm::<Cpu>::new(&cpu(), config).map(|_| ());
    assert!(matches!(
        new(BatchNormConfig::new(0)),
        Err(Error::NoChannels)
    ));
    for epsilon in [f64::NAN, -1e-5, f64::INFINITY] {
        assert!(matches!(
            new(BatchNormConfig::new(1).epsilon(epsilon)),
            Err(Error::Epsilon { .. })
        ));
    }
    for momentum in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        assert!(matches!(
            new(BatchNormConfig::new(1).momentum(momentum)),
            Err(Error::Momentum { .. })
        ));
    }
    // Zero serves for inference, and not for batch statistics.
    let mut layer: BatchNorm<Cpu> =
        BatchNorm::new(&cpu(), BatchNormConfig::new(1).epsilon(0.0)).unwrap();
    let x = column(&[1.0, 3.0]);
    assert_eq!(
        layer.forward_inference(&x).unwrap().to_vec().unwrap(),
        [1.0, 3.0]
    );
    assert!(matches!(
        layer.forward_training(&x),
        Err(Error::Epsilon { .. })
    ));
    assert_eq!(running(&layer), (0.0, 1.0, 0));
}

#[test]
fn shapes_are_checked() {
    assert!(matches!(
        Shape::channels_first(&[4]),
        Err(Error::Rank { found: 1, .. })
    ));
    assert!(matches!(
        Shape::channels_first(&[4, 0]),
        Err(Error::ZeroDimension { axis: 1, .. })
    ));
    assert!(matches!(
        Shape::channels_last(&[4, 3, 0]),
        Err(Error::ZeroDimension { axis: 2, .. })
    ));
    let huge = [usize::MAX / 2, 3, 5];
    assert!(matches!(
        Shape::channels_first(&huge),
        Err(Error::ShapeOverflow { .. })
    ));
    assert!(matches!(
        Shape::channels_first(&[0, usize::MAX, 2]),
        Err(Error::ShapeOverflow { .. })
    ));
    for zeros in [[0, 0, usize::MAX, 2], [2, 2, 0, usize::MAX]] {
        assert!(matches!(
            Shape::channels_first(&zeros),
            Err(Error::ZeroDimension { .. } | Error::ShapeOverflow { .. })
        ));
    }
    let shape = Shape::channels_first(&[2, 3]).unwrap();
    assert!(matches!(
        Tensor::new(&cpu(), shape, &[1.0f32; 5]),
        Err(Error::Length {
            found: 5,
            needed: 6,
            ..
        })
    ));
    let enormous = Shape::channels_first(&[1 << 40, 1 << 19]).unwrap();
    assert!(matches!(
        Tensor::<f32, Cpu>::zeros(&cpu(), enormous),
        Err(Error::OutOfMemory { .. })
    ));
}

#[test]
fn more_spatial_dimensions_are_one() {
    let first = Shape::channels_first(&[2, 3, 1, 2, 2, 5]).unwrap();
    assert_eq!(first, Shape::channels_first(&[2, 3, 20]).unwrap());
    let last = Shape::channels_last(&[2, 1, 2, 1, 2, 5, 3]).unwrap();
    assert_eq!(last, Shape::channels_last(&[2, 20, 3]).unwrap());

    let values = |i: usize| (i * 7 % 11) as f32;
    let folded: Vec<f32> = (0..120).map(values).collect();
    let dims = ndarray::IxDyn(&[2, 3, 1, 2, 2, 5]);
    let x = ndarray::ArrayD::from_shape_vec(dims.clone(), folded.clone()).unwrap();
    let mut layer: BatchNorm<Cpu> = BatchNorm::new(&cpu(), BatchNormConfig::new(3)).unwrap();
    let mut y = ndarray::ArrayD::<f32>::zeros(dims);
    layer.forward_training_into(&x, None, &mut y).unwrap();
    let x = Tensor::new(&cpu(), first, &folded).unwrap();
    let (expected, _) = layer.forward_training(&x).unwrap();
    assert_eq!(y.as_slice().unwrap(), expected.to_vec().unwrap());
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

#[test]
fn absent_devices_and_levels_are_errors() {
    assert!(matches!(Cpu::with_threads(0), Err(Error::Threads { .. })));
    let foreign = if cfg!(target_arch = "x86_64") {
        batchnorm::Level::Neon
    } else {
        batchnorm::Level::Avx2
    };
    assert!(matches!(
        cpu().at_level(foreign),
        Err(Error::LevelUnavailable { .. })
    ));
    if let Err(error) = Device::cuda(0) {
        let expected = if cfg!(feature = "cuda") {
            matches!(
                error,
                Error::KernelsNotBuilt { .. }
                    | Error::NoDriver { .. }
                    | Error::DriverTooOld { .. }
                    | Error::NoSuchDevice { .. }
            )
        } else {
            matches!(error, Error::DeviceUnavailable { .. })
        };
        assert!(expected, "{error}");
    }
}
