//! More than 2³¹ values, which no 32-bit index reaches: 33 images, of which the last is beyond, and unlike the others.

use batchnorm::backend::{
    Activation, ActivationBackward, Affine, Backend, Epilogue, GradientSumsMut, InOut, Memory,
    Normalization, StatisticsMut, StatisticsSource,
};
use batchnorm::cuda::CudaBuffer;
use batchnorm::{Cuda, Layout, Result, Shape};
use half::f16;

const IMAGES: usize = 33;
const CHANNELS: usize = 64;
/// A plane repeats so many values, which keeps the textbook's arithmetic short, and equal values give equal bits.
const PERIOD: usize = 4096;
const REPEATS: usize = 256;
const SPATIAL: usize = REPEATS * PERIOD;
const IMAGE: usize = CHANNELS * SPATIAL;

/// The values of the last image, and those of each before it, at a channel and a place of its period.
fn x(last: bool, channel: usize, place: usize) -> f64 {
    let ordinary = ((channel * 31 + place * 7) % 101) as f64 / 16.0 - 3.0;
    if last { 2.0 - ordinary } else { ordinary }
}

fn dy(last: bool, channel: usize, place: usize) -> f64 {
    let ordinary = ((channel * 17 + place * 5) % 89) as f64 / 32.0 - 1.0;
    if last { 0.5 * ordinary } else { ordinary }
}

/// What an image is made of: patterns one after the other, each so many times.
fn patterns(layout: Layout, value: impl Fn(usize, usize) -> f64) -> Vec<Vec<f64>> {
    match layout {
        Layout::ChannelsFirst => (0..CHANNELS)
            .map(|channel| (0..PERIOD).map(|place| value(channel, place)).collect())
            .collect(),
        Layout::ChannelsLast => {
            let mut rows = Vec::with_capacity(PERIOD * CHANNELS);
            for place in 0..PERIOD {
                rows.extend((0..CHANNELS).map(|channel| value(channel, place)));
            }
            vec![rows]
        }
    }
}

fn image(patterns: &[Vec<f64>]) -> Vec<f16> {
    let mut image = Vec::with_capacity(IMAGE);
    for pattern in patterns {
        let pattern: Vec<f16> = pattern.iter().map(|&value| f16::from_f64(value)).collect();
        for _ in 0..REPEATS {
            image.extend_from_slice(&pattern);
        }
    }
    image
}

/// 32 images of one kind and one of the other.
fn images(
    gpu: &Cuda,
    layout: Layout,
    value: impl Fn(bool, usize, usize) -> f64,
) -> Result<CudaBuffer<f16>> {
    let mut all = gpu.zeros::<f16>(IMAGES * IMAGE)?;
    for (last, range) in [(false, 0..IMAGES - 1), (true, IMAGES - 1..IMAGES)] {
        let patterns = patterns(layout, |channel, place| value(last, channel, place));
        let one = gpu.upload(&image(&patterns))?;
        for number in range {
            let mut to = all.slice_mut(number * IMAGE..(number + 1) * IMAGE);
            gpu.copy::<f16>(Cuda::as_slice(&one), (&mut to).into())?;
        }
    }
    Ok(all)
}

/// Σ over a channel of all images, of a function of x and dy.
fn sum(channel: usize, of: impl Fn(f64, f64) -> f64) -> f64 {
    let over = |last| -> f64 {
        let places = 0..PERIOD;
        places
            .map(|place| of(x(last, channel, place), dy(last, channel, place)))
            .sum()
    };
    let repeats = (SPATIAL / PERIOD) as f64;
    repeats * ((IMAGES - 1) as f64 * over(false) + over(true))
}

/// The textbook's numbers of a channel.
struct Expected {
    mean: f64,
    inv_std: f64,
    sum_dy: f64,
    sum_dy_x_hat: f64,
}

const EPSILON: f64 = 1e-5;
const COUNT: f64 = (IMAGES * SPATIAL) as f64;

fn expected(channel: usize) -> Expected {
    let mean = sum(channel, |x, _| x) / COUNT;
    let variance = sum(channel, |x, _| (x - mean).powi(2)) / COUNT;
    let inv_std = 1.0 / (variance + EPSILON).sqrt();
    Expected {
        mean,
        inv_std,
        sum_dy: sum(channel, |_, dy| dy),
        sum_dy_x_hat: sum(channel, |x, dy| dy * (x - mean) * inv_std),
    }
}

/// Half a unit in the last place of an f16, and the little that f32 arithmetic adds.
fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= expected.abs() * 2f64.powi(-10) + 1e-4
}

/// Checks the first image and the last one of an array.
fn check(
    gpu: &Cuda,
    layout: Layout,
    array: &CudaBuffer<f16>,
    what: &str,
    expected: impl Fn(bool, usize, usize) -> f64,
) -> Result<()> {
    for (last, number) in [(false, 0), (false, IMAGES - 2), (true, IMAGES - 1)] {
        let view = array.slice(number * IMAGE..(number + 1) * IMAGE);
        let found = gpu.download::<f16>((&view).into())?;
        let patterns = patterns(layout, |channel, place| expected(last, channel, place));
        check_image(&found, &patterns, &format!("{what} of image {number}"));
    }
    Ok(())
}

/// The first of each pattern against the textbook, and the others against the first.
fn check_image(found: &[f16], patterns: &[Vec<f64>], what: &str) {
    for (number, (repeats, pattern)) in found
        .chunks(REPEATS * patterns[0].len())
        .zip(patterns)
        .enumerate()
    {
        let (first, others) = repeats.split_at(pattern.len());
        for (place, (found, expected)) in first.iter().zip(pattern).enumerate() {
            let found = found.to_f64();
            assert!(
                near(found, *expected),
                "{what}, pattern {number}, place {place} is {found}, the textbook has {expected}"
            );
        }
        let same = others.chunks(pattern.len()).all(|other| other == first);
        assert!(
            same,
            "{what}, pattern {number}: equal values have given others"
        );
    }
}

fn forward_and_backward(gpu: &Cuda, layout: Layout) -> Result<()> {
    let shape = match layout {
        Layout::ChannelsFirst => Shape::channels_first(&[IMAGES, CHANNELS, SPATIAL])?,
        Layout::ChannelsLast => Shape::channels_last(&[IMAGES, SPATIAL, CHANNELS])?,
    };
    assert!(shape.len() > 1 << 31);
    let ones = gpu.upload(&[1.0f32; CHANNELS])?;
    let zeros = gpu.zeros::<f32>(CHANNELS)?;
    let mut statistics = [0; 4].map(|_| gpu.zeros::<f32>(CHANNELS));
    let [Ok(mean), Ok(mean_low), Ok(variance), Ok(inv_std)] = &mut statistics else {
        panic!("no memory for 64 values");
    };
    let textbook: Vec<Expected> = (0..CHANNELS).map(expected).collect();

    let x_values = images(gpu, layout, x)?;
    let mut y = gpu.zeros::<f16>(shape.len())?;
    let affine = Affine {
        gamma: Cuda::as_slice(&ones),
        beta: Cuda::as_slice(&zeros),
        epsilon: EPSILON,
    };
    let out = StatisticsMut {
        mean: Cuda::as_slice_mut(mean),
        mean_low: Cuda::as_slice_mut(mean_low),
        variance: Cuda::as_slice_mut(variance),
        inv_std: Cuda::as_slice_mut(inv_std),
        running: None,
    };
    let (lent, written) = (Cuda::as_slice(&x_values), Cuda::as_slice_mut(&mut y));
    gpu.forward_training::<f16>(
        &shape,
        lent,
        affine,
        Epilogue::of(Activation::None),
        written,
        out,
    )?;
    let x_hat = |last, channel: usize, place| {
        let Expected { mean, inv_std, .. } = textbook[channel];
        (x(last, channel, place) - mean) * inv_std
    };
    check(gpu, layout, &y, "y", x_hat)?;
    drop(y);

    let mut gradients = images(gpu, layout, dy)?;
    let (mut dgamma, mut dbeta) = (gpu.zeros::<f32>(CHANNELS)?, gpu.zeros::<f32>(CHANNELS)?);
    let with = Normalization {
        mean: Cuda::as_slice(mean),
        mean_low: Cuda::as_slice(mean_low),
        inv_std: Cuda::as_slice(inv_std),
        gamma: Cuda::as_slice(&ones),
        beta: Cuda::as_slice(&zeros),
    };
    let out = GradientSumsMut {
        gamma: Cuda::as_slice_mut(&mut dgamma),
        beta: Cuda::as_slice_mut(&mut dbeta),
    };
    let in_place = InOut::InPlace(Cuda::as_slice_mut(&mut gradients));
    let (lent, source) = (Cuda::as_slice(&x_values), StatisticsSource::Batch);
    gpu.backward::<f16>(
        &shape,
        in_place,
        lent,
        with,
        source,
        ActivationBackward::of(Activation::None),
        None,
        out,
    )?;
    check(gpu, layout, &gradients, "dx", |last, channel, place| {
        let Expected {
            inv_std,
            sum_dy,
            sum_dy_x_hat,
            ..
        } = textbook[channel];
        let x_hat = x_hat(last, channel, place);
        inv_std * (dy(last, channel, place) - sum_dy / COUNT - x_hat * sum_dy_x_hat / COUNT)
    })
}

/// x, y and the workspace, and as much again while they are filled.
const NEEDED: usize = 2 * IMAGES * IMAGE * size_of::<f16>() + (1 << 29);

#[test]
fn more_than_two_billion_values() {
    let check = "more_than_two_billion_values";
    let Some(machine) = crate::machine(check) else {
        return;
    };
    if crate::has_room(&machine, NEEDED, check) {
        forward_and_backward(&machine.gpu, Layout::ChannelsFirst).unwrap();
        forward_and_backward(&machine.gpu, Layout::ChannelsLast).unwrap();
    }
}

/// The numbers above against a direct sum over an image of each kind, which takes no GPU.
#[test]
fn the_textbook_counts_every_value() {
    for channel in [0, 63] {
        let mut total = 0.0;
        for place in 0..SPATIAL {
            let value = |last| x(last, channel, place % PERIOD);
            total += 32.0 * value(false) + value(true);
        }
        assert!((total / COUNT - expected(channel).mean).abs() < 1e-12);
        assert!((sum(channel, |_, _| 1.0) - COUNT).abs() < 0.5);
    }
    // Every value given is one that an f16 has, and another in the last image.
    for place in 0..PERIOD {
        for value in [
            x(false, 5, place),
            x(true, 5, place),
            dy(false, 5, place),
            dy(true, 5, place),
        ] {
            assert_eq!(f16::from_f64(value).to_f64(), value);
        }
    }
    assert!((0..PERIOD).any(|place| x(false, 5, place) != x(true, 5, place)));
}

/// One value that is another, in any of the repeats, is found.
#[test]
fn a_wrong_value_of_an_image_is_found() {
    for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
        let patterns = patterns(layout, |channel, place| x(false, channel, place));
        let right = image(&patterns);
        assert_eq!(right.len(), IMAGE);
        check_image(&right, &patterns, "x");
        for place in [0, IMAGE - 1] {
            let mut wrong = right.clone();
            wrong[place] = f16::from_f64(wrong[place].to_f64() + 0.25);
            let checked = std::panic::catch_unwind(|| check_image(&wrong, &patterns, "x"));
            assert!(checked.is_err(), "the value at {place}");
        }
    }
}
