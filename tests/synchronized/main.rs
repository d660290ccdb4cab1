//! Synchronized over ranks, on the processor: the bits, every split, every fault, and a training. What every backend must pass is in the
//! contract suite (`tests/contract/src/synchronized.rs`).

mod bits;
#[expect(
    dead_code,
    reason = "the trajectory records more of the data than a training needs"
)]
#[path = "../trajectory/digits.rs"]
mod digits;
mod faults;
mod parts;
mod passes;
mod renormalized;
mod splits;
mod together;
mod training;
mod transport;
mod unlike_layers;

use std::thread;
use std::time::Duration;

use batchnorm::{
    BatchNorm, BatchNormConfig, Cpu, Element, Shape, SyncBatchNorm, Tensor, ThreadRank,
};

/// Long beside anything here.
const LIMIT: Duration = Duration::from_secs(300);

/// Does something on each of some ranks, and gives what each gave; or its panic.
fn on_ranks<R: Send>(
    world: usize,
    limit: Duration,
    work: impl Fn(ThreadRank) -> R + Sync,
) -> Vec<thread::Result<R>> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = ThreadRank::connect(world, limit)
            .into_iter()
            .map(|rank| scope.spawn(move || work(rank)))
            .collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect()
    })
}

/// The same, of ranks that do not panic.
fn all_ranks<R: Send>(world: usize, work: impl Fn(ThreadRank) -> R + Sync) -> Vec<R> {
    let answers = on_ranks(world, LIMIT, work);
    answers.into_iter().map(Result::unwrap).collect()
}

fn layer(channels: usize) -> BatchNorm<Cpu> {
    BatchNorm::new(&Cpu::new(), BatchNormConfig::new(channels)).unwrap()
}

/// (N, C).
fn table<T: Element>(channels: usize, values: &[T]) -> Tensor<T, Cpu> {
    let shape = Shape::channels_first(&[values.len() / channels, channels]).unwrap();
    Tensor::new(&Cpu::new(), shape, values).unwrap()
}

type Layer<'r> = SyncBatchNorm<Cpu, &'r ThreadRank>;

fn synchronized(rank: &ThreadRank) -> Layer<'_> {
    SyncBatchNorm::new(layer(2), rank).unwrap()
}

fn good() -> Tensor<f32, Cpu> {
    table(2, &[1.0, 2.0, 3.0, 5.0])
}
