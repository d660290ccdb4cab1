//! Each process normalizes its part of a batch, and holds the result against the whole batch in one process.
//!
//! `mpirun -n 4 mpi-ranks`; with `fail` rank 1 has an input of other channels, with `absent` it does not come.

use std::process::ExitCode;
use std::time::Duration;

use batchnorm::{
    BatchNorm, BatchNormConfig, Cpu, Error, Result, Shape, SyncBatchNorm, Tensor, Transport,
};
use mpi_ranks::MpiRanks;

const CHANNELS: usize = 37;
const SPATIAL: usize = 42;
/// The samples of each rank: the first, the second and so on, of as many as there are. One has none.
const SAMPLES: [usize; 4] = [5, 0, 11, 3];
/// Of results near 1 in f32.
const NEAR: f32 = 2e-6;

fn shape(samples: usize) -> Result<Shape> {
    Shape::channels_first(&[samples, CHANNELS, SPATIAL])
}

/// The values of the samples in a range of the whole batch, whoever asks.
fn values(first: usize, samples: usize, seed: usize) -> Vec<f32> {
    let of_sample = CHANNELS * SPATIAL;
    let value = |i: usize| ((i + seed) * 7919 % 1009) as f32 / 500.0 - 1.0;
    (first * of_sample..(first + samples) * of_sample)
        .map(value)
        .collect()
}

fn tensor(first: usize, samples: usize, seed: usize) -> Result<Tensor<f32, Cpu>> {
    Tensor::new(&Cpu::new(), shape(samples)?, &values(first, samples, seed))
}

fn layer() -> Result<BatchNorm<Cpu>> {
    BatchNorm::new(&Cpu::new(), BatchNormConfig::new(CHANNELS))
}

/// The largest distance of y and dx, and of the running statistics, from those of one process that has the whole batch.
fn distance(ranks: &MpiRanks) -> Result<f32> {
    let (rank, world) = (ranks.rank(), ranks.world());
    let first: usize = SAMPLES[..rank].iter().sum();
    let all: usize = SAMPLES[..world].iter().sum();

    let mut synchronized = SyncBatchNorm::new(layer()?, ranks)?;
    let (y, pass) = synchronized.forward_training(tensor(first, SAMPLES[rank], 0)?)?;
    let dx = pass.backward(&tensor(first, SAMPLES[rank], 3)?)?.input;

    let mut alone = layer()?;
    let (whole_y, pass) = alone.forward_training(tensor(0, all, 0)?)?;
    let whole_dx = pass.backward(&tensor(0, all, 3)?)?.input;

    let running = |layer: &BatchNorm<Cpu>| match layer.running() {
        Some(running) => Ok([running.mean().to_vec()?, running.variance().to_vec()?].concat()),
        None => Ok(vec![]),
    };
    let own = |whole: &Tensor<f32, Cpu>| -> Result<Vec<f32>> {
        let start = first * CHANNELS * SPATIAL;
        Ok(whole.to_vec()?[start..][..SAMPLES[rank] * CHANNELS * SPATIAL].to_vec())
    };
    Ok(apart(&y.to_vec()?, &own(&whole_y)?)
        .max(apart(&dx.to_vec()?, &own(&whole_dx)?))
        .max(apart(&running(synchronized.layer())?, &running(&alone)?)))
}

/// Infinitely far where there is no number, or not as many.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    if found.len() != expected.len() {
        return f32::INFINITY;
    }
    let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    apart.fold(0.0, |most, apart| {
        if apart.is_nan() {
            f32::INFINITY
        } else {
            most.max(apart)
        }
    })
}

/// What all say where rank 1 has an input that the layer refuses.
fn failure(ranks: &MpiRanks) -> Result<Error> {
    let mut layer = SyncBatchNorm::new(layer()?, ranks)?;
    let channels = if ranks.rank() == 1 {
        CHANNELS + 1
    } else {
        CHANNELS
    };
    let shape = Shape::channels_first(&[3, channels])?;
    let refused = layer.forward_training(Tensor::<f32, _>::zeros(&Cpu::new(), shape)?);
    refused.map(drop).err().ok_or(Error::NoChannels)
}

fn run(ranks: &MpiRanks, what: Option<&str>) -> Result<bool> {
    let (rank, world) = (ranks.rank(), ranks.world());
    match what {
        Some("fail") => println!("rank {rank} says: {}", failure(ranks)?),
        Some("absent") if rank == 1 => std::thread::sleep(Duration::from_secs(50)),
        _ => {
            let apart = distance(ranks)?;
            println!("rank {rank} of {world}: {apart:e} from one process");
            return Ok(apart < NEAR);
        }
    }
    Ok(true)
}

fn main() -> ExitCode {
    let Some(universe) = mpi::initialize() else {
        eprintln!("MPI has been initialized before");
        return ExitCode::FAILURE;
    };
    let what = std::env::args().nth(1);
    let limit = if what.as_deref() == Some("absent") {
        2
    } else {
        60
    };
    let ranks = MpiRanks::new(universe.world(), Duration::from_secs(limit));
    if ranks.world() > SAMPLES.len() {
        eprintln!(
            "at most {} processes, there are {}",
            SAMPLES.len(),
            ranks.world()
        );
        return ExitCode::FAILURE;
    }
    match run(&ranks, what.as_deref()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
