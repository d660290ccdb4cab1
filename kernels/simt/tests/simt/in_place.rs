//! Forward kernels whose y lies over x: `kernels/arguments.cuh` lets it, and another block of the cluster may have written
//! its part of y while this one still finalizes the statistics.
#![expect(unsafe_code, reason = "kernels are given addresses")]

use batchnorm::backend::Memory;
use batchnorm::gpu::internal::{
    Arguments, ArrayShape, Arrays, ChannelArrays, Choices, Driver, Numbers, Partition, aligned,
};
use batchnorm_simt::{Grid, SimtDevice, SimtDriver};

/// A whole pass over one array, each channel by a cluster of four blocks.
struct Pass {
    kernel: &'static str,
    grid: Grid,
    shape: ArrayShape,
    partition: Partition,
}

fn passes() -> [Pass; 2] {
    let grid = |blocks, shared_bytes| Grid {
        blocks,
        threads: 128,
        cluster: 4,
        shared_bytes,
        cooperative: false,
    };
    [
        // Four planes of 256 packets, one for each block.
        Pass {
            kernel: "planes_on_chip_forward_f32",
            grid: grid(8, 256 * 16),
            shape: ArrayShape {
                batch: 4,
                channels: 2,
                spatial: 1024,
                packets: 256,
                neighbours: 1024,
            },
            partition: Partition {
                tile: 256,
                tiles: 4,
                ..Partition::default()
            },
        },
        // 16 rows of two packets for each block, all of them kept.
        Pass {
            kernel: "columns_on_chip_forward_f32",
            grid: grid(4, 16 * 2 * 16 + 128 * 4 * 16 + 8 * (16 + 24)),
            shape: ArrayShape {
                batch: 64,
                channels: 8,
                spatial: 1,
                packets: 2,
                neighbours: 1,
            },
            partition: Partition {
                tile: 16,
                tiles: 4,
                group_channels: 8,
                kept_rows: 16,
                places: 0,
            },
        },
    ]
}

/// y and the mean.
fn run(pass: &Pass, seed: u64, in_place: bool) -> (Vec<f32>, Vec<f32>) {
    let driver = SimtDriver::new(SimtDevice::hopper()).expect("memory");
    let driver = driver.with_seed(seed);
    let ArrayShape {
        batch,
        channels,
        spatial,
        ..
    } = pass.shape;
    let len = usize::try_from(batch * channels * spatial).expect("a length");
    let channels = usize::try_from(channels).expect("a length");
    // Far from zero, so that a first value that is y's already would give another mean.
    let values: Vec<f32> = (0..len).map(|i| 1000.5 + (i * 31 % 97) as f32).collect();
    let mut x = driver.upload(&values).expect("memory");
    let mut y = driver.zeros::<f32>(len).expect("memory");
    let of_channels = |value| driver.upload(&vec![value; channels]).expect("memory");
    let (gamma, beta) = (of_channels(1.0_f32), of_channels(0.0_f32));
    let mut written = [0.0_f32; 4].map(of_channels);
    let x_address = driver
        .address_mut(SimtDriver::as_slice_mut(&mut x))
        .unwrap()
        .0;
    let y_address = driver
        .address_mut(SimtDriver::as_slice_mut(&mut y))
        .unwrap()
        .0;
    let [mean, mean_low, variance, inv_std] = written.each_mut().map(|array| {
        driver
            .address_mut(SimtDriver::as_slice_mut(array))
            .unwrap()
            .0
    });
    let arguments = Arguments {
        arrays: Arrays {
            x: x_address,
            out: if in_place { x_address } else { y_address },
            ..Arrays::default()
        },
        channel: ChannelArrays {
            gamma: driver.address(SimtDriver::as_slice(&gamma)).unwrap().0,
            beta: driver.address(SimtDriver::as_slice(&beta)).unwrap().0,
            mean,
            mean_low,
            variance,
            inv_std,
            ..ChannelArrays::default()
        },
        numbers: Numbers {
            epsilon: 1e-5,
            ..Numbers::default()
        },
        shape: pass.shape,
        partition: pass.partition,
        choices: Choices {
            aligned: aligned::X | aligned::OUT,
            ..Choices::default()
        },
        ..Arguments::default()
    };
    // SAFETY: the arrays are as long as the shape says, and live until the call returns.
    unsafe { driver.run(pass.kernel, pass.grid, &arguments) }.expect("a launch");
    let out = if in_place { &x } else { &y };
    (
        driver.download(SimtDriver::as_slice(out)).expect("memory"),
        driver
            .download(SimtDriver::as_slice(&written[0]))
            .expect("memory"),
    )
}

#[test]
fn y_over_x_changes_no_bit() {
    for pass in passes() {
        let apart = run(&pass, 1, false);
        assert!(apart.1.iter().all(|mean| *mean > 1000.0), "{:?}", apart.1);
        for seed in 0..20 {
            assert!(
                run(&pass, seed, true) == apart,
                "{} with seed {seed}",
                pass.kernel
            );
        }
    }
}
