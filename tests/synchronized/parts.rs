//! What synchronized batch norms are built from, for those who build their own: parts of a batch, and the steps in `f64`.

use batchnorm::backend::{
    Activation, ActivationBackward, Backend, GradientSums, GradientSumsMut, InOut, MomentsMut,
    Normalization,
};
use batchnorm::{Cpu, Error, PooledGradients, PooledStatistics, Shape};

use crate::{layer, table};

#[test]
fn statistics_come_from_anywhere() {
    let mut pooled = PooledStatistics::new(2);
    let half = PooledStatistics::from_parts(2, &[1.0, 10.0], &[1.0, 0.0]).unwrap();
    let other = PooledStatistics::from_parts(6, &[5.0, 10.0], &[1.0, 4.0]).unwrap();
    pooled.merge(&[half.clone(), other.clone()]).unwrap();
    assert_eq!(
        (pooled.count(), pooled.mean().unwrap()),
        (8, &[4.0, 10.0][..])
    );
    assert!(pooled.variance().unwrap().eq([4.0, 3.0]));
    let mut one_by_one = other;
    one_by_one.merge(&[half]).unwrap();
    assert_eq!(one_by_one.mean().unwrap(), pooled.mean().unwrap());
    let batch = pooled.to_batch::<f32, _>(&Cpu::new(), 1e-5).unwrap();
    assert_eq!(batch.count(), 8);
    assert_eq!(batch.variance().to_vec().unwrap(), [4.0, 3.0]);
}

#[cfg(target_pointer_width = "64")]
#[test]
fn counts_may_be_beyond_32_bits() {
    let count = 3usize << 31;
    let part = |mean| PooledStatistics::from_parts(count, &[mean], &[2.0]).unwrap();
    let mut pooled = PooledStatistics::new(1);
    pooled.merge(&[part(1.0), part(5.0)]).unwrap();
    assert_eq!(
        (pooled.count(), pooled.mean().unwrap()),
        (2 * count, &[3.0][..])
    );
    assert!(pooled.variance().unwrap().eq([6.0]));
    let mut sums = PooledGradients::from_parts(count, &[1.0], &[2.0]).unwrap();
    sums.merge(&[sums.clone()]).unwrap();
    assert_eq!(
        (sums.count(), sums.gamma(), sums.beta()),
        (2 * count, &[2.0][..], &[4.0][..])
    );
}

#[test]
fn statistics_that_are_none_are_refused() {
    let value =
        |found: &str, count, mean: &[f64], variance: &[f64]| match PooledStatistics::from_parts(
            count, mean, variance,
        ) {
            Err(Error::Value { found: said, .. }) => assert_eq!(said, found),
            other => panic!("{other:?}"),
        };
    value("NaN in channel 1", 2, &[0.0, f64::NAN], &[1.0, 1.0]);
    value("inf in channel 0", 2, &[f64::INFINITY, 0.0], &[1.0, 1.0]);
    value("-1.0 in channel 1", 2, &[0.0, 0.0], &[1.0, -1.0]);
    value("NaN in channel 0", 2, &[0.0], &[f64::NAN]);
    value("0", 0, &[0.0], &[1.0]);
    assert!(matches!(
        PooledStatistics::from_parts(2, &[0.0], &[1.0, 1.0]),
        Err(Error::Length { .. })
    ));
    assert_eq!(
        PooledStatistics::from_parts(2, &[], &[]).err(),
        Some(Error::NoChannels)
    );
    assert_eq!(
        PooledGradients::from_parts(2, &[], &[]).err(),
        Some(Error::NoChannels)
    );
    assert_eq!(PooledGradients::new(0).err(), Some(Error::NoChannels));
    assert!(matches!(
        PooledGradients::from_parts(2, &[0.0], &[1.0, 1.0]),
        Err(Error::Length { .. })
    ));
}

#[test]
fn parts_of_other_layers_are_refused_and_nothing_is_merged() {
    let mut pooled = PooledStatistics::from_parts(2, &[1.0], &[1.0]).unwrap();
    let others = [
        PooledStatistics::from_parts(2, &[9.0], &[1.0]).unwrap(),
        PooledStatistics::new(2),
    ];
    let refused = pooled.merge(&others);
    assert_eq!(
        refused,
        Err(Error::Channels {
            found: 2,
            needed: 1
        })
    );
    assert_eq!((pooled.count(), pooled.mean().unwrap()), (2, &[1.0][..]));
    let mut sums = PooledGradients::from_parts(2, &[1.0], &[1.0]).unwrap();
    let refused = sums.merge(&[PooledGradients::new(3).unwrap()]);
    assert_eq!(
        refused,
        Err(Error::Channels {
            found: 3,
            needed: 1
        })
    );
    assert_eq!((sums.count(), sums.gamma()), (2, &[1.0][..]));
}

#[test]
fn a_part_takes_the_statistics_of_its_batch_only() {
    let layer = layer(1);
    let x = table(1, &[1.0f32, 2.0, 3.0]);
    let batch = |count, channels: usize| {
        let (mean, variance) = (vec![0.0; channels], vec![1.0; channels]);
        let pooled = PooledStatistics::from_parts(count, &mean, &variance).unwrap();
        pooled.to_batch::<f32, _>(&Cpu::new(), 1e-5).unwrap()
    };
    let refused = layer.forward_part(&x, batch(2, 1)).unwrap_err();
    assert!(
        matches!(refused, Error::TooFewValues { found: 2, .. }),
        "{refused}"
    );
    let refused = layer.forward_part(&x, batch(9, 2)).unwrap_err();
    assert_eq!(
        refused,
        Error::Channels {
            found: 2,
            needed: 1
        }
    );
    let (_, pass) = layer.forward_part(&x, batch(9, 1)).unwrap();
    let sums = pass.gradient_sums(&x).unwrap();
    assert_eq!((sums.count(), sums.beta()), (3, &[6.0][..]));
    let refused = pass.backward(&x, &sums).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("3, of statistics over 9 values"),
        "{refused}"
    );
    let whole = PooledGradients::from_parts(9, &[0.0], &[9.0]).unwrap();
    let gradients = pass.backward(&x, &whole).unwrap();
    assert_eq!(gradients.beta.unwrap().to_vec().unwrap(), [9.0]);
    let dx = gradients.input.to_vec().unwrap();
    assert!(
        (dx[0] - 0.0).abs() < 1e-4 && (dx[2] - 2.0).abs() < 1e-4,
        "{dx:?}"
    );
}

/// The steps in `f64` refuse what the others refuse, and write nothing then.
#[test]
fn wrong_lengths_are_refused_and_nothing_is_written() {
    let cpu = Cpu::new();
    let shape = Shape::channels_first(&[2, 2]).unwrap();
    let x = [1.0f32, 2.0, 3.0, 4.0];
    let ones = [1.0f32; 2];
    let with = Normalization {
        mean: &ones[..],
        mean_low: &ones[..],
        inv_std: &ones[..],
        gamma: &ones[..],
        beta: &ones[..],
    };
    let none = || ActivationBackward::of(Activation::None);
    for (len, arrays) in [(4, [2, 2, 1]), (4, [2, 1, 2]), (4, [3, 2, 2]), (3, [2; 3])] {
        let mut out = arrays.map(|len| vec![-77.0; len]);
        let [mean, mean_low, m2] = &mut out;
        let moments = MomentsMut { mean, mean_low, m2 };
        let refused = cpu.statistics_in_f64::<f32>(&shape, &x[..len], moments);
        assert!(matches!(refused, Err(Error::Length { .. })), "{refused:?}");
        assert!(out.iter().flatten().all(|&value| value == -77.0));
    }
    for (len, gamma, beta) in [(3, 2, 2), (4, 1, 2), (4, 2, 3)] {
        let (mut gamma, mut beta) = (vec![-77.0; gamma], vec![-77.0; beta]);
        let out = GradientSumsMut {
            gamma: &mut gamma[..],
            beta: &mut beta[..],
        };
        let refused = cpu.backward_reduce_in_f64::<f32>(&shape, &x[..len], &x, with, none(), out);
        assert!(matches!(refused, Err(Error::Length { .. })), "{refused:?}");
        assert!(gamma.iter().chain(&beta).all(|&value| value == -77.0));
    }
    let sums = [0.0; 3];
    for (gamma, beta, count) in [(1, 2, 4), (2, 3, 4), (2, 2, 0)] {
        let mut dx = [-77.0f32; 4];
        let sums = GradientSums {
            gamma: &sums[..gamma],
            beta: &sums[..beta],
            count,
        };
        let to_dx = InOut::Separate(&x[..], &mut dx[..]);
        let refused =
            cpu.backward_input_in_f64::<f32>(&shape, to_dx, &x, with, none(), Some(sums), None);
        assert!(refused.is_err());
        assert_eq!(dx, [-77.0; 4]);
    }
}
