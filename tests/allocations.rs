//! How often a synchronized pass asks for memory: no more often for many channels than for few.
#![expect(unsafe_code, reason = "an allocator is asked")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread;
use std::time::Duration;

use batchnorm::{
    BatchNorm, BatchNormConfig, Cpu, PooledGradients, PooledStatistics, Shape, SyncBatchNorm,
    Tensor, ThreadRank,
};

/// The system's, which counts how often each thread asks it.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // Not while a thread ends.
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: all is the system's, and counting asks for no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread asks for memory in this work.
fn asked_in(work: impl FnOnce()) -> usize {
    let before = ASKED.get();
    work();
    ASKED.get() - before
}

/// In a pass forward and one backward on each of two ranks, once passes before have brought what is kept.
fn asked_by_ranks(channels: usize) -> Vec<[usize; 2]> {
    thread::scope(|scope| {
        let ranks = ThreadRank::connect(2, Duration::from_secs(100)).into_iter();
        let threads: Vec<_> = ranks
            .map(|rank| {
                scope.spawn(move || {
                    let cpu = Cpu::with_threads(1).unwrap();
                    let layer = BatchNorm::new(&cpu, BatchNormConfig::new(channels)).unwrap();
                    let mut layer = SyncBatchNorm::new(layer, &rank).unwrap();
                    let shape = Shape::channels_first(&[3, channels, 2]).unwrap();
                    let values: Vec<f32> = (0..shape.len()).map(|i| (i % 7) as f32).collect();
                    let x = Tensor::new(&cpu, shape, &values).unwrap();
                    let (mut y, mut dx) = (x.clone(), x.clone());
                    let mut asked = [0; 2];
                    for _ in 0..3 {
                        let mut pass = None;
                        asked[0] = asked_in(|| {
                            let made = layer.forward_training_into(&x, None, &mut y).unwrap();
                            pass = Some(made);
                        });
                        asked[1] = asked_in(|| {
                            let pass = pass.as_ref().unwrap();
                            pass.backward_into(&x, &mut dx, None).unwrap();
                        });
                    }
                    asked
                })
            })
            .collect();
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        answers.collect()
    })
}

/// Fewer for more, where the pool of freed memory has what is large.
#[test]
fn passes_of_ranks_ask_for_memory_a_few_times_whatever_the_channels() {
    for channels in [8, 64, 1024, 8192] {
        let asked = asked_by_ranks(channels);
        println!("{channels} channels, forward and backward of each rank: {asked:?}");
        assert!(
            asked
                .iter()
                .flatten()
                .all(|&asked| asked > 0 && asked <= 32)
        );
    }
}

#[test]
fn merges_ask_for_memory_as_often_for_many_channels_as_for_few() {
    let asked = |channels: usize, ranks: usize| {
        let (numbers, ones) = (vec![0.5; channels], vec![1.0; channels]);
        let statistics = PooledStatistics::from_parts(3, &numbers, &ones).unwrap();
        let sums = PooledGradients::from_parts(3, &numbers, &ones).unwrap();
        let (statistics, sums) = (vec![statistics; ranks], vec![sums; ranks]);
        let mut whole = PooledStatistics::new(channels);
        let mut whole_sums = PooledGradients::new(channels).unwrap();
        [
            asked_in(|| whole.merge(&statistics).unwrap()),
            asked_in(|| whole_sums.merge(&sums).unwrap()),
        ]
    };
    let few = asked(8, 2);
    println!("of statistics and sums: {few:?}");
    assert!(few.into_iter().all(|asked| asked > 0 && asked < 20));
    for (channels, ranks) in [(64, 2), (8192, 2), (8, 8), (8192, 8)] {
        assert_eq!(
            asked(channels, ranks),
            few,
            "{channels} channels, {ranks} ranks"
        );
    }
}
