//! Every step and every fused pass, in memory that the caller owns: throughput in bytes of compulsory traffic (what must
//! be read and written once, however clever the pass).
//!
//! `cargo bench -- forward_training/channels_first/f32` runs those whose name has that in it; the names are
//! `pass/layout/dtype/shape`. Each shape rotates through enough buffers that none is found in cache, unless it is small.

use std::hint::black_box;
use std::time::{Duration, Instant};

use batchnorm::backend::{
    Activation, ActivationBackward, Backend, Epilogue, GradientSums, InOut, RunningMut, Statistics,
};
use batchnorm::{Cpu, Element, Layout, Result, Shape};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use workload::passes::Pass;
use workload::problem::{Arrays, Channels, Problem};
use workload::shapes::{SHAPES, name, values};

/// The five steps but the one that touches channels only.
#[derive(Debug, Clone, Copy)]
enum Step {
    Statistics,
    Normalize,
    NormalizeInPlace,
    BackwardReduce,
    BackwardInput,
}

impl Step {
    const ALL: [Self; 5] = [
        Self::Statistics,
        Self::Normalize,
        Self::NormalizeInPlace,
        Self::BackwardReduce,
        Self::BackwardInput,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Statistics => "statistics",
            Self::Normalize => "normalize",
            Self::NormalizeInPlace => "normalize_in_place",
            Self::BackwardReduce => "backward_reduce",
            Self::BackwardInput => "backward_input",
        }
    }

    /// How many arrays of x's shape must be read or written.
    fn arrays(self) -> usize {
        match self {
            Self::Statistics => 1,
            Self::Normalize | Self::NormalizeInPlace | Self::BackwardReduce => 2,
            Self::BackwardInput => 3,
        }
    }

    fn run<T: Element>(
        self,
        cpu: &Cpu,
        shape: &Shape,
        arrays: &mut Arrays<T>,
        channels: &mut Channels<T::Compute>,
    ) -> Result<()> {
        let Arrays { x, dy, out, .. } = arrays;
        match self {
            Self::Statistics => {
                let (affine, statistics) = channels.training();
                cpu.statistics(shape, x, affine.epsilon, statistics)
            }
            Self::Normalize => {
                let x_to_y = InOut::Separate(x.as_slice(), out.as_mut_slice());
                cpu.normalize(
                    shape,
                    x_to_y,
                    channels.backward().0,
                    Epilogue::of(Activation::None),
                )
            }
            Self::NormalizeInPlace => {
                let x_to_y = InOut::InPlace(out.as_mut_slice());
                cpu.normalize(
                    shape,
                    x_to_y,
                    channels.backward().0,
                    Epilogue::of(Activation::None),
                )
            }
            Self::BackwardReduce => {
                let (with, sums) = channels.backward();
                cpu.backward_reduce(
                    shape,
                    dy,
                    x,
                    with,
                    ActivationBackward::of(Activation::None),
                    sums,
                )
            }
            Self::BackwardInput => {
                let (with, sums) = channels.backward();
                let sums = GradientSums {
                    gamma: &*sums.gamma,
                    beta: &*sums.beta,
                    count: shape.values_per_channel(),
                };
                let dy_to_dx = InOut::Separate(dy.as_slice(), out.as_mut_slice());
                cpu.backward_input(
                    shape,
                    dy_to_dx,
                    x,
                    with,
                    ActivationBackward::of(Activation::None),
                    Some(sums),
                    None,
                )
            }
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Work {
    Step(Step),
    Pass(Pass),
}

impl Work {
    fn all() -> impl Iterator<Item = Self> {
        let passes = Pass::ALL.into_iter().map(Self::Pass);
        Step::ALL.into_iter().map(Self::Step).chain(passes)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Step(step) => step.name(),
            Self::Pass(pass) => pass.name(),
        }
    }

    fn bytes<T: Element>(self, shape: &Shape) -> usize {
        match self {
            Self::Step(step) => step.arrays() * shape.len() * size_of::<T>(),
            Self::Pass(pass) => pass.bytes::<T>(shape),
        }
    }

    /// The time of one call, on one of the sets of arrays.
    fn time<T: Element>(self, cpu: &Cpu, problem: &mut Problem<T>, set: usize) -> Duration {
        let Problem {
            shape,
            sets,
            channels,
        } = problem;
        let start = Instant::now();
        let done = match self {
            Self::Step(step) => step.run(cpu, shape, &mut sets[set], channels),
            Self::Pass(pass) => pass.run(cpu, shape, &mut sets[set], channels),
        };
        let time = start.elapsed();
        done.expect("a shape that every pass takes");
        black_box(&sets[set].out);
        time
    }
}

fn bench_dtype<T: Element>(criterion: &mut Criterion, cpu: &Cpu, shapes: &[&[usize]]) {
    for dims in shapes {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            let mut ordered = dims.to_vec();
            if layout == Layout::ChannelsLast {
                ordered[1..].rotate_left(1);
            }
            if dims.len() == 2 && layout == Layout::ChannelsFirst {
                continue; // (N, C) is the same memory in either layout
            }
            let shape = Shape::new(&ordered, layout).expect("a shape");
            let mut problem: Option<Problem<T>> = None;
            for work in Work::all() {
                let layout = layout.to_string().replace(' ', "_");
                let group = format!("{}/{layout}/{}", work.name(), T::DTYPE);
                let mut group = criterion.benchmark_group(group);
                group.throughput(Throughput::Bytes(work.bytes::<T>(&shape) as u64));
                group.bench_function(BenchmarkId::from_parameter(name(dims)), |bencher| {
                    let problem = problem
                        .get_or_insert_with(|| Problem::new(shape).expect("memory for the arrays"));
                    let mut set = 0;
                    bencher.iter_custom(|iterations| {
                        let mut spent = Duration::ZERO;
                        for _ in 0..iterations {
                            set = (set + 1) % problem.sets.len();
                            spent += work.time(cpu, problem, set);
                        }
                        spent
                    });
                });
                group.finish();
            }
        }
    }
}

/// The step that touches channels only.
fn bench_update_running(criterion: &mut Criterion, cpu: &Cpu) {
    let mut group = criterion.benchmark_group("update_running/f32");
    for channels in [64, 2048] {
        let arrays = [0, 1, 2, 3].map(|seed| values::<f32>(channels, seed));
        let (mut mean, mut variance) = (values::<f32>(channels, 4), values::<f32>(channels, 5));
        group.throughput(Throughput::Bytes((7 * channels * size_of::<f32>()) as u64));
        group.bench_function(BenchmarkId::from_parameter(channels), |bencher| {
            bencher.iter(|| {
                let [batch_mean, mean_low, batch_variance, inv_std] =
                    arrays.each_ref().map(Vec::as_slice);
                let batch = Statistics {
                    mean: batch_mean,
                    mean_low,
                    variance: batch_variance,
                    inv_std,
                };
                let running = RunningMut {
                    mean: &mut mean[..],
                    variance: &mut variance,
                    factor: 0.1,
                    correction: 1.001,
                    only_finite: false,
                };
                cpu.update_running::<f32>(batch, running).expect("update");
            });
        });
    }
    group.finish();
}

fn bench(criterion: &mut Criterion) {
    let cpu = Cpu::new();
    println!("{cpu}");
    // To see that everything runs, `-- --test`, one shape will do.
    let trying = std::env::args().any(|argument| argument == "--test");
    let (all, some) = if trying {
        (&SHAPES[12..], vec![SHAPES[12]])
    } else {
        (
            &SHAPES[..],
            vec![SHAPES[2], SHAPES[4], SHAPES[8], SHAPES[9]],
        )
    };
    bench_dtype::<f32>(criterion, &cpu, all);
    bench_dtype::<f16>(criterion, &cpu, &some);
    bench_dtype::<bf16>(criterion, &cpu, &some);
    bench_dtype::<f64>(criterion, &cpu, &some[some.len() / 2..]);
    bench_update_running(criterion, &cpu);
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = bench
}
criterion_main!(benches);
