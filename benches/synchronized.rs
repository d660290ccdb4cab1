//! What it costs to normalize a batch together, on ranks that are threads: the exchange beside a rank's own pass, and the merge.
//!
//! `cargo bench -p benches --bench synchronized`. Medians, in microseconds, as rank 0 sees them. An exchange is a whole pass over a
//! part of two values per channel; on one rank that is the layer's own, without an exchange. A local pass is the layer's own over a
//! part of 32x64x56x56, 32x256x56x56 or 32x2048x7x7. Each rank has one thread: with more ranks than cores they wait for those, too.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use batchnorm::{
    BatchNorm, BatchNormConfig, Cpu, PooledGradients, PooledStatistics, Result, Shape, Tensor,
    ThreadRank,
};
use workload::ranks::{CHANNELS, Times, large_part, median, microseconds, passes, small_part};
use workload::shapes::values;

const RANKS: [usize; 3] = [1, 2, 4];
const LIMIT: Duration = Duration::from_secs(50);

/// Times passes over a part on each of some ranks: those of rank 0.
fn on_ranks(world: usize, part: Shape, count: usize) -> Result<Times> {
    let begin = Barrier::new(world);
    thread::scope(|scope| {
        let threads: Vec<_> = ThreadRank::connect(world, LIMIT)
            .into_iter()
            .map(|rank| {
                let begin = &begin;
                scope.spawn(move || {
                    begin.wait();
                    passes(&rank, part, count)
                })
            })
            .collect();
        let mut times = threads
            .into_iter()
            .map(|thread| thread.join().expect("no rank panics"));
        times.next().expect("at least one rank")
    })
}

/// How long it takes to merge so many ranks' statistics and gradient sums.
fn merges(channels: usize, ranks: usize, count: usize) -> Result<[Duration; 2]> {
    let cpu = Cpu::with_threads(1)?;
    let layer = BatchNorm::<Cpu>::new(&cpu, BatchNormConfig::new(channels))?;
    let (mut statistics, mut sums) = (vec![], vec![]);
    for rank in 0..ranks {
        let shape = Shape::channels_first(&[8 + rank, channels, 3])?;
        let x = Tensor::new(&cpu, shape, &values::<f32>(shape.len(), rank as u64))?;
        let of_part = layer.part_statistics(&x)?;
        let (_, pass) = layer.forward_part(&x, of_part.to_batch(&cpu, 1e-5)?)?;
        statistics.push(of_part);
        sums.push(pass.gradient_sums(&x)?);
    }
    let (mut of_statistics, mut of_sums) = (vec![], vec![]);
    for _ in 0..count {
        let begin = Instant::now();
        let mut whole = PooledStatistics::new(channels);
        whole.merge(&statistics)?;
        black_box(whole.to_batch::<f32, _>(&cpu, 1e-5)?);
        let middle = Instant::now();
        let mut whole = PooledGradients::new(channels)?;
        whole.merge(&sums)?;
        black_box(whole);
        of_statistics.push(middle - begin);
        of_sums.push(middle.elapsed());
    }
    Ok([median(of_statistics), median(of_sums)])
}

fn main() -> Result<()> {
    // `cargo bench -- --test` asks whether it runs.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (small, large) = if is_test { (3, 1) } else { (3001, 11) };
    println!(
        "| C | ranks | exchange forward | backward | merge of statistics | of sums | local pass forward | backward |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for channels in CHANNELS {
        let local = on_ranks(1, large_part(channels)?, large)?;
        for ranks in RANKS {
            let exchange = on_ranks(ranks, small_part(channels)?, small)?;
            let [statistics, sums] = merges(channels, ranks, small)?;
            let all = [
                exchange.forward,
                exchange.backward,
                statistics,
                sums,
                local.forward,
                local.backward,
            ];
            let all = all.map(|time| format!("{:.1}", microseconds(time)));
            println!("| {channels} | {ranks} | {} |", all.join(" | "));
        }
    }
    Ok(())
}
