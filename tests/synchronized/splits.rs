//! Any split of a batch among any number of ranks, in any order.

use batchnorm::{Cpu, Layout, Shape};
use contract_suite::data::ordinary;
use contract_suite::ranks::{RankAnswer, Summation, on_ranks};
use contract_suite::reference::Problem;
use contract_suite::synchronized::check_ranks;
use proptest::prelude::*;

/// How many samples each of 1 to 8 ranks has, and how the rest of the shape is.
fn split() -> impl Strategy<Value = (Vec<usize>, Shape)> {
    let samples = prop::collection::vec(prop_oneof![Just(0usize), 1..4usize, 5..12usize], 1..=8);
    let layout = prop_oneof![Just(Layout::ChannelsFirst), Just(Layout::ChannelsLast)];
    let split = (samples, 1..9usize, 1..20usize, layout).prop_map(|(samples, c, s, layout)| {
        let n = samples.iter().sum();
        let dims = match layout {
            Layout::ChannelsFirst => [n, c, s],
            Layout::ChannelsLast => [n, s, c],
        };
        (samples, Shape::new(&dims, layout).unwrap())
    });
    split.prop_filter("batch statistics need two values", |(_, shape)| {
        shape.values_per_channel() > 1
    })
}

/// The parts, each where it now is, answer what they did where they were.
fn check_order(problem: &Problem, samples: &[usize], places: &[usize]) {
    let cpu = Cpu::new();
    let before = on_ranks::<f32, Cpu>(&cpu, problem, samples, Summation::OverRanks);
    let of_sample = problem.shape.len() / problem.shape.batch();
    let starts: Vec<usize> = (0..samples.len())
        .map(|rank| samples[..rank].iter().sum::<usize>() * of_sample)
        .collect();
    let moved = |values: &[f64]| {
        let part = |&rank: &usize| &values[starts[rank]..][..samples[rank] * of_sample];
        places.iter().map(part).collect::<Vec<_>>().concat()
    };
    let mut problem = problem.clone();
    problem.x = moved(&problem.x);
    problem.dy = moved(&problem.dy);
    let samples: Vec<usize> = places.iter().map(|&rank| samples[rank]).collect();
    let after = on_ranks::<f32, Cpu>(&cpu, &problem, &samples, Summation::OverRanks);
    let expected: Vec<&RankAnswer<f32>> = places.iter().map(|&rank| &before[rank]).collect();
    assert_eq!(after.iter().collect::<Vec<_>>(), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_split_is_the_whole_batch((samples, shape) in split(), seed in 0..1000u64) {
        check_ranks::<f32, Cpu>(&Cpu::new(), &ordinary::<f32>(shape, seed), &samples);
        check_ranks::<f64, Cpu>(&Cpu::new(), &ordinary::<f64>(shape, seed), &samples);
    }

    #[test]
    fn every_order_has_the_same_bits(
        ((samples, shape), places) in split().prop_flat_map(|split| {
            let places: Vec<usize> = (0..split.0.len()).collect();
            (Just(split), Just(places).prop_shuffle())
        }),
        seed in 0..1000u64,
    ) {
        check_order(&ordinary::<f32>(shape, seed), &samples, &places);
    }
}
