//! What cannot be folded.

use batchnorm::{Averaging, BatchNorm, BatchNormConfig, Cpu, Error};

#[test]
fn layers_without_running_statistics_are_not_folded() {
    let config = BatchNormConfig::new(2).averaging(Averaging::Off);
    let layer: BatchNorm<_> = BatchNorm::new(&Cpu::new(), config).unwrap();
    let weight = [1.0f32; 4];
    let errors = [
        layer.scale_and_shift().unwrap_err(),
        layer.fold_into_linear(&weight, &[2, 2], None).unwrap_err(),
        layer
            .fold_into_convolution(&weight, &[2, 2, 1], None)
            .unwrap_err(),
        layer
            .fold_into_transposed_convolution(&weight, &[2, 2, 1], 1, None)
            .unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(error, Error::NoRunningStatistics { .. }),
            "{error}"
        );
    }
}

#[test]
fn wrong_lengths_and_dimensions_are_refused() {
    let layer: BatchNorm<_> = BatchNorm::new(&Cpu::new(), BatchNormConfig::new(4)).unwrap();
    let weight = vec![1.0f32; 48];
    let dimensions =
        |error: Error| assert!(matches!(error, Error::WeightDimensions { .. }), "{error}");
    let length = |error: Error| assert!(matches!(error, Error::Length { .. }), "{error}");

    let linear = |dims: &[usize]| layer.fold_into_linear(&weight, dims, None).unwrap_err();
    // As Keras and flax have it.
    for dims in [&[12, 4][..], &[], &[48], &[4], &[4, 0], &[0, 4], &[4, 4, 3]] {
        dimensions(linear(dims));
    }
    length(linear(&[4, 11]));
    let overflow = linear(&[4, usize::MAX]);
    assert!(matches!(overflow, Error::ShapeOverflow { .. }));
    let bias = Some(&weight[..3]);
    length(layer.fold_into_linear(&weight, &[4, 12], bias).unwrap_err());

    let convolution = |dims: &[usize]| {
        layer
            .fold_into_convolution(&weight, dims, None)
            .unwrap_err()
    };
    for dims in [
        &[][..],
        &[4],
        &[4, 12],
        &[4, 1, 1, 1, 4, 3],
        &[3, 4, 4],
        &[12, 4, 1],
        &[4, 0, 3],
        &[4, 3, 0],
    ] {
        dimensions(convolution(dims));
    }
    length(convolution(&[4, 3, 5]));
    length(convolution(&[4, 3, 3]));
    assert!(matches!(
        convolution(&[4, usize::MAX, 2]),
        Error::ShapeOverflow { .. }
    ));
    length(
        layer
            .fold_into_convolution(&weight, &[4, 3, 4], Some(&weight[..5]))
            .unwrap_err(),
    );

    let transposed = |dims: &[usize], groups| {
        layer
            .fold_into_transposed_convolution(&weight, dims, groups, None)
            .unwrap_err()
    };
    for (dims, groups) in [
        (&[6, 2, 4][..], 0),
        (&[6, 2, 4], 1),
        (&[6, 2, 4], 3),
        (&[6, 2, 4], 4),
        (&[6, 4, 2], 2),
        (&[3, 2, 8], 2),
        (&[6, 2], 2),
        (&[6], 2),
        (&[], 1),
        (&[0, 2, 4], 2),
        (&[6, 2, 0], 2),
        (&[6, 2, 1, 1, 1, 4], 2),
    ] {
        dimensions(transposed(dims, groups));
    }
    length(transposed(&[6, 2, 3], 2));
    assert!(matches!(
        transposed(&[6, 2, usize::MAX], 2),
        Error::ShapeOverflow { .. }
    ));
    let error = layer.fold_into_transposed_convolution(&weight, &[6, 2, 4], 2, Some(&weight[..5]));
    length(error.unwrap_err());
    let message = transposed(&[6, 2, 4], 1).to_string();
    assert!(
        message.contains("[6, 2, 4]") && message.contains("(inputs, 4 / groups"),
        "{message}"
    );
}
