//! Batches of several ranks that are renormalized: as the whole batch by one layer.

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, Cpu, Error, Renormalization, SyncBatchNorm, Tensor,
};

use crate::{all_ranks, layer, on_ranks, table};

const VALUES: [f32; 12] = [
    0.3, -1.2, 2.1, 0.7, -0.4, 1.9, 0.6, -2.2, 1.1, 0.2, -0.9, 1.4,
];
const GRADIENTS: [f32; 12] = [
    1.0, -0.5, 0.3, 0.9, -1.1, 0.4, 0.2, 0.8, -0.7, 1.3, 0.1, -0.6,
];

fn config() -> BatchNormConfig {
    BatchNormConfig::new(2)
        .activation(Activation::Relu)
        .renormalization(Renormalization::new(1.1, 0.2))
}

fn renormalized() -> BatchNorm<Cpu> {
    let mut layer = BatchNorm::new(&Cpu::new(), config()).unwrap();
    layer.gamma_mut().unwrap().set(&[1.3, -0.7]).unwrap();
    let running = layer.running_mut().unwrap();
    running.set(&[0.1, 0.3], &[0.8, 1.5], 1).unwrap();
    layer
}

/// A rank's part of some values of 6 samples: 4 and 2 of them.
fn part(rank: usize, values: &[f32; 12]) -> Tensor<f32, Cpu> {
    table(2, [&values[..8], &values[8..]][rank])
}

fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn limits_change_between_steps() {
    let schedule = [
        Some(Renormalization::new(1.3, 0.4)),
        None,
        Some(Renormalization::new(2.0, 1.0)),
    ];
    let mut whole = renormalized();
    let mut expected = vec![];
    for limits in schedule {
        whole.set_renormalization(limits).unwrap();
        let (y, _) = whole.forward_training(table(2, &VALUES)).unwrap();
        expected.push(y.to_vec().unwrap());
    }
    let answers = all_ranks(2, |rank| {
        let index = batchnorm::Transport::rank(&rank);
        let mut layer = SyncBatchNorm::new(renormalized(), &rank).unwrap();
        schedule.map(|limits| {
            layer.layer_mut().set_renormalization(limits).unwrap();
            let (y, _) = layer.forward_training(part(index, &VALUES)).unwrap();
            y.to_vec().unwrap()
        })
    });
    for (step, expected) in expected.iter().enumerate() {
        close(&answers[0][step], &expected[..8]);
        close(&answers[1][step], &expected[8..]);
    }
}

#[test]
fn ranks_are_renormalized_as_one_batch() {
    let mut whole = renormalized();
    let (y, pass) = whole.forward_training(table(2, &VALUES)).unwrap();
    let gradients = pass.backward(&table(2, &GRADIENTS)).unwrap();
    let (y, dx) = (y.to_vec().unwrap(), gradients.input.to_vec().unwrap());
    let dgamma = gradients.gamma.unwrap().to_vec().unwrap();
    let dbeta = gradients.beta.unwrap().to_vec().unwrap();
    for summed in [true, false] {
        let answers = all_ranks(2, |rank| {
            let index = batchnorm::Transport::rank(&rank);
            let layer = if summed {
                SyncBatchNorm::with_summed_gradients(renormalized(), &rank)
            } else {
                SyncBatchNorm::new(renormalized(), &rank)
            };
            let mut layer = layer.unwrap();
            let (y, pass) = layer.forward_training(part(index, &VALUES)).unwrap();
            let gradients = pass.backward(&part(index, &GRADIENTS)).unwrap();
            [
                y.to_vec().unwrap(),
                gradients.input.to_vec().unwrap(),
                gradients.gamma.unwrap().to_vec().unwrap(),
                gradients.beta.unwrap().to_vec().unwrap(),
            ]
        });
        let of_all = |i: usize| {
            answers
                .iter()
                .flat_map(|of| of[i].clone())
                .collect::<Vec<_>>()
        };
        close(&of_all(0), &y);
        close(&of_all(1), &dx);
        for (i, expected) in [(2, &dgamma), (3, &dbeta)] {
            let of_rank = |rank: usize, c: usize| answers[rank][i][c];
            let sum = |c: usize| of_rank(0, c) + of_rank(1, c);
            for c in 0..2 {
                let found = if summed { of_rank(0, c) } else { sum(c) };
                close(&[found], &[expected[c]]);
            }
        }
    }
}

#[test]
fn ranks_of_other_limits_are_refused() {
    let answers = on_ranks(2, crate::LIMIT, |rank| {
        let layer = match batchnorm::Transport::rank(&rank) {
            0 => layer(2),
            _ => BatchNorm::new(
                &Cpu::new(),
                BatchNormConfig::new(2).renormalization(Renormalization::new(1.1, 0.2)),
            )
            .unwrap(),
        };
        SyncBatchNorm::new(layer, &rank).map(drop)
    });
    for answer in answers {
        let refused = answer.unwrap();
        assert!(
            matches!(refused, Err(Error::RanksDiffer { .. })),
            "{refused:?}"
        );
    }
}
