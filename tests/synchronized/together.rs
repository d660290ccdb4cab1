//! Several layers that share one exchange: the bits of each by itself, and the faults of all.

use std::cell::Cell;

use batchnorm::{
    Averaging, BatchNorm, BatchNormConfig, Cpu, Error, Gradients, Result, SyncBatchNorm, SyncPass,
    Tensor, ThreadRank, Transport,
};

use crate::{all_ranks, layer, table};

/// Counts what is exchanged.
#[derive(Clone, Copy)]
struct Counted<'a>(&'a ThreadRank, &'a Cell<usize>);

impl Transport for Counted<'_> {
    fn rank(&self) -> usize {
        self.0.rank()
    }
    fn world(&self) -> usize {
        self.0.world()
    }
    fn all_gather(&self, send: &[u8], received: &mut [u8]) -> Result<()> {
        self.1.set(self.1.get() + 1);
        self.0.all_gather(send, received)
    }
}

/// Of as many samples as the rank's number, and then some.
fn input(channels: usize, samples: usize, seed: usize) -> Tensor<f32, Cpu> {
    let value = |i: usize| ((i * 7919 + seed * 31) % 101) as f32 / 10.0 - 3.0;
    let values: Vec<f32> = (0..channels * samples).map(value).collect();
    table(channels, &values)
}

type Answer = (Vec<u32>, Vec<u32>, Vec<u32>, Vec<u32>);

fn answer(y: &Tensor<f32, Cpu>, gradients: &Gradients<f32, Cpu>, of: &BatchNorm<Cpu>) -> Answer {
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    let running = of.running().unwrap();
    let running = [
        running.mean().to_vec().unwrap(),
        running.variance().to_vec().unwrap(),
    ];
    (
        bits(y.to_vec().unwrap()),
        bits(gradients.input.to_vec().unwrap()),
        bits(gradients.gamma.as_ref().unwrap().to_vec().unwrap()),
        bits(running.concat()),
    )
}

#[test]
fn layers_that_share_an_exchange_have_their_own_bits() {
    for world in [1, 3] {
        all_ranks(world, |rank| {
            let count = Cell::new(0);
            let ranks = Counted(&rank, &count);
            let (x, z) = (input(3, 2 + rank.rank(), 1), input(5, 4 - rank.rank(), 2));
            let residual = input(5, 4 - rank.rank(), 9);
            let make = |channels, summed| {
                let layer = layer(channels);
                if summed {
                    SyncBatchNorm::with_summed_gradients(layer, ranks).unwrap()
                } else {
                    SyncBatchNorm::new(layer, ranks).unwrap()
                }
            };
            let (mut a, mut b) = (make(3, false), make(5, true));
            let (y, pass) = a.forward_training(&x).unwrap();
            let expected_a = answer(&y, &pass.backward(&y).unwrap(), a.layer());
            let (y, pass) = b.forward_training_add(&z, &residual).unwrap();
            let expected_b = answer(&y, &pass.backward(&y).unwrap(), b.layer());

            let (mut a, mut b) = (make(3, false), make(5, true));
            count.set(0);
            let inputs = vec![(&mut a, &x, None), (&mut b, &z, Some(&residual as _))];
            let outputs = SyncBatchNorm::forward_training_together(inputs).unwrap();
            let passes: Vec<_> = outputs.iter().map(|(y, pass)| (pass, y)).collect();
            let gradients = SyncPass::backward_together(&passes).unwrap();
            assert_eq!(count.get(), if world == 1 { 0 } else { 2 });
            assert_eq!(answer(&outputs[0].0, &gradients[0], a.layer()), expected_a);
            assert_eq!(answer(&outputs[1].0, &gradients[1], b.layer()), expected_b);
        });
    }
}

#[test]
fn a_frozen_pass_may_go_backward_with_others() {
    all_ranks(2, |rank| {
        let (mut a, b) = (
            SyncBatchNorm::new(layer(2), &rank).unwrap(),
            SyncBatchNorm::new(layer(2), &rank).unwrap(),
        );
        let x = input(2, 3, rank.rank());
        let (y, trained) = a.forward_training(&x).unwrap();
        let (_, frozen) = b.forward_frozen(&x).unwrap();
        let passes = [(&frozen, &y), (&trained, &y)];
        let gradients = SyncPass::backward_together(&passes).unwrap();
        for ((pass, dy), gradients) in passes.into_iter().zip(gradients) {
            let expected = pass.backward(dy).unwrap().input.to_vec().unwrap();
            assert_eq!(gradients.input.to_vec().unwrap(), expected);
        }
        let frozen = SyncPass::backward_together(&[(&frozen, &y)]).unwrap();
        assert_eq!(frozen.len(), 1);
        assert!(
            SyncPass::backward_together(&passes[..0])
                .unwrap()
                .is_empty()
        );
    });
}

/// That rank 1 of two is named, with the second of its layers, and that no layer has followed anything.
#[test]
fn a_fault_of_one_layer_is_an_error_of_all_on_all() {
    all_ranks(2, |rank| {
        let [mut a, mut b] = [2, 3].map(|c| SyncBatchNorm::new(layer(c), &rank).unwrap());
        let x = input(2, 3, 1);
        let wrong = input(3 + rank.rank(), 3, 1);
        let inputs = vec![(&mut a, &x, None), (&mut b, &wrong, None)];
        let refused = SyncBatchNorm::forward_training_together(inputs).unwrap_err();
        assert!(
            matches!(refused, Error::RankFailed { rank: 1, .. }),
            "{refused}"
        );
        assert!(refused.to_string().contains("layer 2 of 2"), "{refused}");
        for layer in [&a, &b] {
            let running = layer.layer().running().unwrap();
            assert_eq!(running.num_batches_tracked(), 0);
        }
        let z = input(3, 3, 1);
        let inputs = vec![(&mut a, &x, None), (&mut b, &z, None)];
        let outputs = SyncBatchNorm::forward_training_together(inputs).unwrap();
        let dz = if rank.rank() == 1 { &x } else { &z };
        let passes = [(&outputs[0].1, &x), (&outputs[1].1, dz)];
        let refused = SyncPass::backward_together(&passes).unwrap_err();
        assert!(
            matches!(refused, Error::RankFailed { rank: 1, .. }),
            "{refused}"
        );
    });
}

/// Of one value in all, the second layer's batch: the first has not followed its own.
#[test]
fn one_value_of_one_layer_is_an_error_on_all() {
    all_ranks(2, |rank| {
        let [mut a, mut b] = [2, 3].map(|c| SyncBatchNorm::new(layer(c), &rank).unwrap());
        let (x, z) = (input(2, 3, 1), input(3, rank.rank(), 1));
        let inputs = vec![(&mut a, &x, None), (&mut b, &z, None)];
        let refused = SyncBatchNorm::forward_training_together(inputs).unwrap_err();
        assert!(
            matches!(refused, Error::TooFewValues { found: 1, .. }),
            "{refused}"
        );
        assert_eq!(a.layer().running().unwrap().num_batches_tracked(), 0);
    });
}

#[test]
fn layers_in_another_order_are_an_error_on_all() {
    all_ranks(2, |rank| {
        let [mut a, mut b] = [2, 3].map(|c| SyncBatchNorm::new(layer(c), &rank).unwrap());
        let (x, z) = (input(2, 3, 1), input(3, 3, 1));
        let mut inputs = vec![(&mut a, &x, None), (&mut b, &z, None)];
        if rank.rank() == 1 {
            inputs.reverse();
        }
        let refused = SyncBatchNorm::forward_training_together(inputs).unwrap_err();
        let said = refused.to_string();
        assert!(
            said.contains(
                "rank 1 is in a forward pass of layers of which the first has 3 channels"
            ),
            "{said}"
        );
    });
}

#[test]
fn layers_of_other_ranks_are_an_error_on_all() {
    all_ranks(2, |rank| {
        let elsewhere = &ThreadRank::connect(1, crate::LIMIT)[0];
        let mut a = SyncBatchNorm::new(layer(2), &rank).unwrap();
        let mut b = SyncBatchNorm::new(layer(2), elsewhere).unwrap();
        let x = input(2, 3, 1);
        let inputs = vec![(&mut a, &x, None), (&mut b, &x, None)];
        let refused = SyncBatchNorm::forward_training_together(inputs).unwrap_err();
        assert!(refused.to_string().contains("rank 0 of 1"), "{refused}");
    });
}

/// Where there are no running statistics.
#[test]
fn layers_that_follow_nothing_may_share_an_exchange() {
    let config = BatchNormConfig::new(2).averaging(Averaging::Off);
    all_ranks(2, |rank| {
        let made = BatchNorm::new(&Cpu::new(), config).unwrap();
        let mut made = SyncBatchNorm::new(made, &rank).unwrap();
        let x = input(2, 2, rank.rank());
        let outputs = SyncBatchNorm::forward_training_together(vec![(&mut made, &x, None)]);
        let (expected, _) = made.forward_training(&x).unwrap();
        let expected = expected.to_vec().unwrap();
        assert_eq!(outputs.unwrap()[0].0.to_vec().unwrap(), expected);
        assert!(expected.iter().any(|&y| y != 0.0));
    });
}
