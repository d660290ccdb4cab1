//! More than 2³¹ values, which no 32-bit index reaches: 33 images, of which the last is beyond, and unlike the others.

use batchnorm::backend::{
    Activation, ActivationBackward, Affine, Backend, Epilogue, GradientSumsMut, InOut, Memory,
    Normalization, StatisticsMut, StatisticsSource,
};
use batchnorm::cuda::CudaBuffer;
use batchnorm::{Cuda, Layout, Result, Shape};
use cuda_machine::machine::Machine;
use half::f16;

const IMAGES: usize = 33;
const CHANNELS: usize = 64;
/// A plane repeats so many values, which keeps the textbook's arithmetic short.
const PERIOD: usize = 4096;
const SPATIAL: usize = 256 * PERIOD;
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

/// Where an image has a value.
fn index(layout: Layout, channel: usize, place: usize) -> usize {
    match layout {
        Layout::ChannelsFirst => channel * SPATIAL + place,
        Layout::ChannelsLast => place * CHANNELS + channel,
    }
}

fn image(layout: Layout, value: impl Fn(usize, usize) -> f64) -> Vec<f16> {
    let mut image = vec![f16::ZERO; IMAGE];
    for channel in 0..CHANNELS {
        for place in 0..SPATIAL {
            let value = f16::from_f64(value(channel, place % PERIOD));
            image[index(layout, channel, place)] = value;
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
        let one = gpu.upload(&image(layout, |channel, place| value(last, channel, place)))?;
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
        for channel in 0..CHANNELS {
            for place in 0..SPATIAL {
                let value = found[index(layout, channel, place)].to_f64();
                let expected = expected(last, channel, place % PERIOD);
                assert!(
                    near(value, expected),
                    "{what} of image {number}, channel {channel}, place {place} is {value}, the textbook has {expected}"
                );
            }
        }
    }
    Ok(())
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

/// Whether the GPU has room; x, y and the workspace, and as much again while they are filled.
fn has_room(machine: &Machine, check: &str) -> bool {
    let needed = 2 * IMAGES * IMAGE * size_of::<f16>() + (1 << 29);
    let (free, _) = machine
        .context
        .mem_get_info()
        .expect("the context is there");
    if free < needed {
        crate::skipped(
            check,
            &format!("it needs {needed} bytes of GPU memory, {free} are free"),
        );
    }
    free >= needed
}

#[test]
fn more_than_two_billion_values() {
    let Some(machine) = crate::machine("more_than_two_billion_values") else {
        return;
    };
    if has_room(&machine, "more_than_two_billion_values") {
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
