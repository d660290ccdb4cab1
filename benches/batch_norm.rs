//! Every step and every fused pass, in memory that the caller owns: throughput in bytes of compulsory traffic (what must
//! be read and written once, however clever the pass).
//!
//! `cargo bench -- forward_training/channels_first/f32` runs those whose name has that in it; the names are
//! `pass/layout/dtype/shape`. Each shape rotates through enough buffers that none is found in cache, unless it is small.

#[path = "../examples/roofline/shapes.rs"]
mod shapes;

use std::hint::black_box;
use std::time::{Duration, Instant};

use batchnorm::backend::{
    Affine, Backend, Epilogue, Gate, GradientSums, GradientSumsMut, InOut, Normalization,
    Statistics, StatisticsMut, StatisticsSource,
};
use batchnorm::{Cpu, CpuMask, Element, Layout, Shape};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use shapes::{SHAPES, name, values};

/// The arrays of one shape.
struct Arrays<T: Element> {
    x: Vec<T>,
    dy: Vec<T>,
    out: Vec<T>,
    second: Vec<T>,
    mask: CpuMask,
}

/// Everything that a pass is measured with.
struct Subject<T: Element> {
    cpu: Cpu,
    shape: Shape,
    sets: Vec<Arrays<T>>,
    channels: [Vec<T::Compute>; 7],
}

impl<T: Element> Subject<T> {
    fn new(cpu: &Cpu, shape: Shape) -> Self {
        let len = shape.len();
        let sets = (0..shapes::sets(len * size_of::<T>()))
            .map(|set| Arrays {
                x: values(len, 4 * set as u64),
                dy: values(len, 4 * set as u64 + 1),
                out: values(len, 4 * set as u64 + 2),
                second: values(len, 4 * set as u64 + 3),
                mask: cpu.mask::<T>(&shape).expect("memory for a mask"),
            })
            .collect();
        let channels = [0, 1, 2, 3, 4, 5, 6].map(|seed| {
            values::<T::Compute>(shape.channels(), seed)
                .into_iter()
                .map(|value| T::Compute::from_f64(value.to_f64().abs() + 0.5))
                .collect()
        });
        Self {
            cpu: cpu.clone(),
            shape,
            sets,
            channels,
        }
    }
}

/// The call that is measured.
type Call<T, C> = fn(&Cpu, &Shape, &mut Arrays<T>, &mut [Vec<C>; 7]);

/// What is measured: its name, how many arrays of x's size it must read and write, and the call.
struct Pass<T: Element>(&'static str, usize, Call<T, T::Compute>);

/// Lends the per-channel arrays as a pass wants them.
macro_rules! with {
    ($channels:expr, |$with:ident, $mean:ident, $low:ident, $variance:ident, $inv_std:ident| $body:expr) => {{
        let [$mean, $low, $variance, $inv_std, gamma, beta, _] =
            $channels.each_mut().map(Vec::as_mut_slice);
        let $with = Normalization {
            mean: &*$mean,
            mean_low: &*$low,
            inv_std: &*$inv_std,
            gamma: &*gamma,
            beta: &*beta,
        };
        $body
    }};
}

fn steps<T: Element>() -> Vec<Pass<T>> {
    vec![
        Pass("statistics", 1, |cpu, shape, arrays, channels| {
            let [mean, mean_low, variance, inv_std, ..] =
                channels.each_mut().map(Vec::as_mut_slice);
            let out = StatisticsMut {
                mean,
                mean_low,
                variance,
                inv_std,
                running: None,
            };
            cpu.statistics::<T>(shape, &arrays.x, 1e-5, out)
                .expect("statistics");
        }),
        Pass("normalize", 2, |cpu, shape, arrays, channels| {
            with!(channels, |with, _mean, _low, _variance, _inv_std| {
                let x_to_y = InOut::Separate(arrays.x.as_slice(), arrays.out.as_mut_slice());
                cpu.normalize::<T>(shape, x_to_y, with, Epilogue::None)
                    .expect("normalize");
            });
        }),
        Pass("normalize_in_place", 2, |cpu, shape, arrays, channels| {
            with!(channels, |with, _mean, _low, _variance, _inv_std| {
                let x_to_y = InOut::InPlace(arrays.out.as_mut_slice());
                cpu.normalize::<T>(shape, x_to_y, with, Epilogue::None)
                    .expect("normalize");
            });
        }),
        Pass("backward_reduce", 2, |cpu, shape, arrays, channels| {
            let [mean, low, _, inv_std, gamma, beta, sums] =
                channels.each_mut().map(Vec::as_mut_slice);
            let mut dbeta = sums.to_vec();
            let with = Normalization {
                mean: &*mean,
                mean_low: &*low,
                inv_std: &*inv_std,
                gamma: &*gamma,
                beta: &*beta,
            };
            let out = GradientSumsMut {
                gamma: sums,
                beta: dbeta.as_mut_slice(),
            };
            cpu.backward_reduce::<T>(shape, &arrays.dy, &arrays.x, with, Gate::Open, out)
                .expect("reduce");
        }),
        Pass("backward_input", 3, |cpu, shape, arrays, channels| {
            with!(channels, |with, mean, _low, _variance, _inv_std| {
                let count = shape.values_per_channel();
                let sums = Some(GradientSums {
                    gamma: &*mean,
                    beta: &*mean,
                    count,
                });
                let dy_to_dx = InOut::Separate(arrays.dy.as_slice(), arrays.out.as_mut_slice());
                cpu.backward_input::<T>(shape, dy_to_dx, &arrays.x, with, Gate::Open, sums, None)
                    .expect("input");
            });
        }),
    ]
}

fn train<T: Element>(
    cpu: &Cpu,
    shape: &Shape,
    x: &[T],
    y: &mut [T],
    channels: &mut [Vec<T::Compute>; 7],
    epilogue: Epilogue<'_, Cpu, T>,
) {
    let [mean, mean_low, variance, inv_std, gamma, beta, _] =
        channels.each_mut().map(Vec::as_mut_slice);
    let affine = Affine {
        gamma: &*gamma,
        beta: &*beta,
        epsilon: 1e-5,
    };
    let out = StatisticsMut {
        mean,
        mean_low,
        variance,
        inv_std,
        running: None,
    };
    cpu.forward_training::<T>(shape, x, affine, epilogue, y, out)
        .expect("forward training");
}

fn back<T: Element>(
    cpu: &Cpu,
    shape: &Shape,
    arrays: &mut Arrays<T>,
    channels: &mut [Vec<T::Compute>; 7],
    source: StatisticsSource,
    epilogue: (bool, bool),
) {
    let [mean, low, dbeta, inv_std, gamma, beta, dgamma] =
        channels.each_mut().map(Vec::as_mut_slice);
    let with = Normalization {
        mean: &*mean,
        mean_low: &*low,
        inv_std: &*inv_std,
        gamma: &*gamma,
        beta: &*beta,
    };
    let (gate, dresidual) = match epilogue {
        (false, _) => (Gate::Open, None),
        (true, false) => (Gate::Relu, None),
        (true, true) => (Gate::Mask(&arrays.mask), Some(arrays.second.as_mut_slice())),
    };
    let dy_to_dx = InOut::Separate(arrays.dy.as_slice(), arrays.out.as_mut_slice());
    let out = GradientSumsMut {
        gamma: dgamma,
        beta: dbeta,
    };
    cpu.backward::<T>(
        shape, dy_to_dx, &arrays.x, with, source, gate, dresidual, out,
    )
    .expect("backward");
}

fn passes<T: Element>() -> Vec<Pass<T>> {
    vec![
        Pass("forward_training", 2, |cpu, shape, arrays, channels| {
            train(
                cpu,
                shape,
                &arrays.x,
                &mut arrays.out,
                channels,
                Epilogue::None,
            );
        }),
        Pass(
            "forward_training_relu",
            2,
            |cpu, shape, arrays, channels| {
                train(
                    cpu,
                    shape,
                    &arrays.x,
                    &mut arrays.out,
                    channels,
                    Epilogue::Relu,
                );
            },
        ),
        Pass(
            "forward_training_add_relu",
            3,
            |cpu, shape, arrays, channels| {
                let epilogue = Epilogue::AddRelu(arrays.second.as_slice(), Some(&mut arrays.mask));
                train(cpu, shape, &arrays.x, &mut arrays.out, channels, epilogue);
            },
        ),
        Pass("backward", 3, |cpu, shape, arrays, channels| {
            back(
                cpu,
                shape,
                arrays,
                channels,
                StatisticsSource::Batch,
                (false, false),
            );
        }),
        Pass("backward_relu", 3, |cpu, shape, arrays, channels| {
            back(
                cpu,
                shape,
                arrays,
                channels,
                StatisticsSource::Batch,
                (true, false),
            );
        }),
        Pass("backward_add_relu", 4, |cpu, shape, arrays, channels| {
            back(
                cpu,
                shape,
                arrays,
                channels,
                StatisticsSource::Batch,
                (true, true),
            );
        }),
        Pass("backward_frozen", 3, |cpu, shape, arrays, channels| {
            back(
                cpu,
                shape,
                arrays,
                channels,
                StatisticsSource::Running,
                (false, false),
            );
        }),
    ]
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
            let mut subject: Option<Subject<T>> = None;
            for Pass(pass, arrays, call) in steps().into_iter().chain(passes()) {
                let group = format!(
                    "{pass}/{}/{}",
                    layout.to_string().replace(' ', "_"),
                    T::DTYPE
                );
                let mut group = criterion.benchmark_group(group);
                group.throughput(Throughput::Bytes(
                    (arrays * shape.len() * size_of::<T>()) as u64,
                ));
                group.bench_function(BenchmarkId::from_parameter(name(dims)), |bencher| {
                    let subject = subject.get_or_insert_with(|| Subject::new(cpu, shape));
                    let count = subject.sets.len();
                    let mut next = 0;
                    bencher.iter_custom(|iterations| {
                        let mut spent = Duration::ZERO;
                        for _ in 0..iterations {
                            next = (next + 1) % count;
                            let start = Instant::now();
                            call(
                                &subject.cpu,
                                &subject.shape,
                                &mut subject.sets[next],
                                &mut subject.channels,
                            );
                            spent += start.elapsed();
                            black_box(&subject.sets[next].out);
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
                cpu.update_running::<f32>(batch, 0.1, 1.001, &mut mean, &mut variance)
                    .expect("update");
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
