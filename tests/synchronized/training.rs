//! A network that learns handwritten digits, its batches spread over ranks: the same training as in one process.

use batchnorm::{
    Activation, BatchNorm, BatchNormConfig, ChannelArray, Cpu, SyncBatchNorm, ThreadRank, Transport,
};
use ndarray::{Array1, Array2, Axis, s};

use crate::all_ranks;
use crate::digits::{Digits, TRAINING_ROWS, weights};

const STEPS: usize = 40;
const BATCH: usize = 60;
const CHANNELS: usize = 32;
const RATE: f64 = 0.3;

/// What a rank has seen.
#[derive(Debug, Clone, PartialEq)]
struct Trained {
    losses: Vec<f64>,
    running_mean: Vec<f64>,
    running_variance: Vec<f64>,
    gamma: Vec<f64>,
}

/// Adds up what all ranks have, in an order that does not depend on theirs: every rank gets the same bits.
fn summed(rank: &ThreadRank, mine: &[f64]) -> Vec<f64> {
    let bytes: Vec<u8> = mine.iter().flat_map(|value| value.to_ne_bytes()).collect();
    let mut all = vec![0; bytes.len() * rank.world()];
    rank.all_gather(&bytes, &mut all).unwrap();
    let values: Vec<f64> = all
        .chunks_exact(8)
        .map(|bytes| f64::from_ne_bytes(bytes.try_into().unwrap()))
        .collect();
    (0..mine.len())
        .map(|i| {
            let mut of_ranks: Vec<f64> =
                values.iter().skip(i).step_by(mine.len()).copied().collect();
            of_ranks.sort_by(f64::total_cmp);
            of_ranks.iter().sum()
        })
        .collect()
}

fn summed_array(rank: &ThreadRank, mine: &Array2<f64>) -> Array2<f64> {
    let values: Vec<f64> = mine.iter().copied().collect();
    Array2::from_shape_vec(mine.dim(), summed(rank, &values)).unwrap()
}

/// Trains 64-32-10 with a normalized hidden layer. Of each batch the rank has the rows `from..to` of its share.
fn train(rank: &ThreadRank, share: (usize, usize)) -> Trained {
    let digits = Digits::<f64>::read();
    let config = BatchNormConfig::new(CHANNELS).activation(Activation::Relu);
    let layer = BatchNorm::<_, f64>::with_compute(&Cpu::new(), config).unwrap();
    let mut layer = SyncBatchNorm::new(layer, rank).unwrap();
    let mut dense = [weights(0, 64, CHANNELS), weights(1, CHANNELS, 10)];
    let mut bias = Array1::<f64>::zeros(10);
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let start = step * BATCH % TRAINING_ROWS;
        let rows = start + share.0..start + share.1;
        let x = digits.pixels.slice(s![rows.clone(), ..]).to_owned();
        let (y, pass) = layer.forward_training(x.dot(&dense[0])).unwrap();
        let y = Array2::from_shape_vec((rows.len(), CHANNELS), y.into_vec().unwrap()).unwrap();
        let (loss, dlogits) = cross_entropy(&(y.dot(&dense[1]) + &bias), &digits.labels[rows]);
        losses.extend(summed(rank, &[loss]));
        let gradients = pass.backward(&dlogits.dot(&dense[1].t())).unwrap();
        let dx = gradients.input.to_vec().unwrap();
        let dx = Array2::from_shape_vec((x.nrows(), CHANNELS), dx).unwrap();

        dense[1].scaled_add(-RATE, &summed_array(rank, &y.t().dot(&dlogits)));
        dense[0].scaled_add(-RATE, &summed_array(rank, &x.t().dot(&dx)));
        let dbias = dlogits.sum_axis(Axis(0)).to_vec();
        bias.scaled_add(-RATE, &Array1::from(summed(rank, &dbias)));
        // dγ and dβ are the rank's own: they are added up like all other gradients.
        let (gamma, beta) = (gradients.gamma.unwrap(), gradients.beta.unwrap());
        descend(rank, layer.layer_mut().gamma_mut(), &gamma);
        descend(rank, layer.layer_mut().beta_mut(), &beta);
    }
    let running = layer.layer().running().unwrap();
    Trained {
        losses,
        running_mean: running.mean().to_vec().unwrap(),
        running_variance: running.variance().to_vec().unwrap(),
        gamma: layer.layer().gamma().unwrap().to_vec().unwrap(),
    }
}

fn descend(
    rank: &ThreadRank,
    parameter: Option<&mut ChannelArray<f64, Cpu>>,
    gradient: &ChannelArray<f64, Cpu>,
) {
    let parameter = parameter.unwrap();
    let mut values = parameter.to_vec().unwrap();
    for (value, slope) in values
        .iter_mut()
        .zip(summed(rank, &gradient.to_vec().unwrap()))
    {
        *value -= RATE * slope;
    }
    parameter.set(&values).unwrap();
}

/// This rank's part of the mean cross-entropy over the batch, and its gradient.
fn cross_entropy(logits: &Array2<f64>, labels: &[usize]) -> (f64, Array2<f64>) {
    let count = BATCH as f64;
    let mut loss = 0.0;
    let mut gradient = logits.clone();
    for (mut row, &label) in gradient.outer_iter_mut().zip(labels) {
        let largest = row.fold(f64::NEG_INFINITY, |largest, &logit| largest.max(logit));
        let of_label = row[label] - largest;
        row.mapv_inplace(|logit| (logit - largest).exp());
        let sum = row.sum();
        loss += sum.ln() - of_label;
        row.mapv_inplace(|power| power / sum / count);
        row[label] -= 1.0 / count;
    }
    (loss / count, gradient)
}

/// Trains on ranks of which each has the rows from one number to the next, the first where `places` says.
fn train_on(bounds: &[usize], places: &[usize]) -> Vec<Trained> {
    all_ranks(places.len(), |rank| {
        let part = places[rank.rank()];
        train(&rank, (bounds[part], bounds[part + 1]))
    })
}

#[test]
fn ranks_learn_what_one_process_learns() {
    let [alone] = &train_on(&[0, BATCH], &[0])[..] else {
        panic!("one rank trains");
    };
    assert!(
        alone.losses[STEPS - 1] < 0.4 * alone.losses[0],
        "{:?}",
        alone.losses
    );
    for (bounds, places) in [
        (&[0, 30, 60][..], [&[0, 1][..], &[1, 0]]),
        (&[0, 7, 7, 40, 60], [&[0, 1, 2, 3], &[2, 3, 1, 0]]),
    ] {
        let [first, second] = places.map(|places| train_on(bounds, places));
        for trained in first.iter().chain(&second) {
            assert_eq!(
                trained, &first[0],
                "the same bits on all ranks, in both orders"
            );
            let apart = farthest(trained, alone);
            println!("{} ranks: {apart:e} from one process", places[0].len());
            assert!(apart < 1e-9, "{apart:e}");
        }
    }
}

fn farthest(a: &Trained, b: &Trained) -> f64 {
    let all = |of: &Trained| {
        let parts = [
            &of.losses,
            &of.running_mean,
            &of.running_variance,
            &of.gamma,
        ];
        parts.into_iter().flatten().copied().collect::<Vec<f64>>()
    };
    let pairs = all(a).into_iter().zip(all(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}
